const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;

interface Retry {
  readonly timer: NodeJS.Timeout;
  readonly delay: number;
}

/** Tries what failed again, each by itself, after delays that grow: not every cause says when it is gone. */
export class Retries {
  readonly #retries = new Map<string, Retry>();

  /** It failed. @param run - called later, unless it is forgotten before; must not throw */
  failed(key: string, run: () => void): void {
    const last = this.#retries.get(key);
    clearTimeout(last?.timer);
    const delay = last === undefined ? FIRST_RETRY_MS : Math.min(2 * last.delay, LAST_RETRY_MS);
    this.#retries.set(key, { delay, timer: setTimeout(run, delay) });
  }

  /** It succeeded, or is gone. */
  forget(key: string): void {
    clearTimeout(this.#retries.get(key)?.timer);
    this.#retries.delete(key);
  }

  /** Nothing is tried any more. */
  close(): void {
    for (const key of [...this.#retries.keys()]) this.forget(key);
  }
}
