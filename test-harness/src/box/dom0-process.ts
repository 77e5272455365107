import type { WriteStream } from 'node:fs';
import { deferred, within } from './deadline.ts';
import type { Dom0Channel, OpenChannel } from './dom0-channel.ts';
import { BoxError } from './errors.ts';

const MAX_OUTPUT = 4 * 1024 * 1024;

/** A process in dom0 that runs in the background. Its output is in `<name>.log` of the run. */
export class Dom0Process {
  readonly name: string;
  readonly command: string;
  /** Exit code, 128 when a signal ended it; rejects when the machine is gone. */
  readonly exited: Promise<number>;
  readonly #channel: OpenChannel;
  readonly #watchers = new Set<() => void>();
  #output = '';
  #exitCode: number | undefined;

  /** Use {@link XenBox.spawn}. */
  constructor(
    channel: Dom0Channel,
    name: string,
    command: string,
    env: Record<string, string>,
    log: WriteStream,
  ) {
    this.name = name;
    this.command = command;
    const onData = (data: Buffer): void => {
      log.write(data);
      this.#output = (this.#output + data.toString()).slice(-MAX_OUTPUT);
      this.#wake();
    };
    this.#channel = channel.open({ kind: 'exec', command, env }, { onData, onErrorData: onData });
    this.exited = this.#channel.result.then(({ code, signal }) => {
      log.end(`(ended: ${signal ?? `exit code ${code}`})\n`);
      this.#exitCode = code;
      this.#wake();
      return code;
    });
    this.exited.catch(() => this.#wake());
  }

  /** stdout and stderr so far, the last 4 MiB of them. */
  get output(): string {
    return this.#output;
  }

  /** Exit code once the process has ended. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /**
   * Waits for something in the output, also in what was said before.
   *
   * @throws {BoxError} `TIMEOUT`, or `COMMAND_FAILED` when the process ends without saying it
   */
  async waitFor(pattern: RegExp, timeoutMs = 90_000): Promise<RegExpExecArray> {
    const found = deferred<RegExpExecArray>();
    const look = (): void => {
      const match = pattern.exec(this.#output);
      if (match) found.resolve(match);
      else if (this.#exitCode !== undefined) {
        found.reject(
          new BoxError(
            'COMMAND_FAILED',
            `Cannot find ${pattern} in the output of ${this.name}: it ended with ${this.#exitCode}`,
            { details: this.#output.slice(-4000) },
          ),
        );
      }
    };
    this.#watchers.add(look);
    this.exited.catch((error: Error) => found.reject(error));
    look();
    try {
      return await within(found.promise, timeoutMs, () => {
        const text = `Cannot find ${pattern} in the output of ${this.name}: not in ${timeoutMs} ms`;
        return new BoxError('TIMEOUT', text, { details: this.#output.slice(-4000) });
      });
    } finally {
      this.#watchers.delete(look);
    }
  }

  /** Sends a signal to the process and all that it started. */
  signal(name: NodeJS.Signals = 'SIGTERM'): void {
    this.#channel.signal(name);
  }

  /**
   * Ends the process: SIGTERM, and SIGKILL when that does not help.
   *
   * @returns its exit code
   */
  async stop(timeoutMs = 10_000): Promise<number> {
    if (this.#exitCode !== undefined) return this.#exitCode;
    this.signal('SIGTERM');
    const killer = setTimeout(() => this.signal('SIGKILL'), timeoutMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(killer);
    }
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
  }
}
