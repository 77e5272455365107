const HEARTBEAT_MS = 15_000;

/** `75` -> `1m15s`, `9.3` -> `9.3s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  return `${Math.floor(seconds / 60)}m${String(Math.floor(seconds % 60)).padStart(2, '0')}s`;
}

/** Reports the steps of a long job: one line per step, and a sign of life while it lasts. */
export class Progress {
  readonly #started = performance.now();
  readonly #write: (line: string) => void;

  /** @param write - receives each finished line; by default it goes to stderr */
  constructor(write: (line: string) => void = (line) => process.stderr.write(`${line}\n`)) {
    this.#write = write;
  }

  /** Prints one line, prefixed by the time since the start. */
  say(text: string): void {
    const elapsed = formatSeconds((performance.now() - this.#started) / 1000);
    this.#write(`[${elapsed.padStart(6)}] ${text}`);
  }

  /**
   * Runs one step and says how long it took.
   *
   * @param title - what is being done
   * @param work - gets `status`, with which it tells the heartbeat what it is at
   */
  async step<T>(title: string, work: (status: (text: string) => void) => Promise<T>): Promise<T> {
    const started = performance.now();
    const seconds = (): string => formatSeconds((performance.now() - started) / 1000);
    let status = '';
    this.say(`${title} ...`);
    const heartbeat = setInterval(() => {
      this.say(`${title} ... ${seconds()}${status ? `, ${status}` : ''}`);
    }, HEARTBEAT_MS);
    try {
      const result = await work((text) => {
        status = text;
      });
      this.say(`${title}: done in ${seconds()}`);
      return result;
    } catch (error) {
      this.say(`${title}: FAILED after ${seconds()}`);
      throw error;
    } finally {
      clearInterval(heartbeat);
    }
  }
}
