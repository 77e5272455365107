import { errorCode } from '@node-vmm/vmm-sys-util/errors';
import { createLogger } from './create-logger.ts';
import { writeAll } from './direct-write.ts';
import { EXIT_FAILURE, EXIT_OK } from './exit-codes.ts';
import type { LoggerOptions, ProgramLogger } from './program-logger.ts';
import type { Signals } from './signals.ts';

const STDOUT = 1;
const STDERR = 2;

/** What SIGUSR1 shows: plain data. */
export type StatusSource = () => object | Promise<object>;

/**
 * What a program has from its first moment: its signals, and a way to say something. The logger comes
 * later, when it is known that there is something to serve.
 */
export class Program {
  readonly name: string;
  /** What usage errors point to: the program, or the command of it that the user has called. */
  command: string;
  readonly signals: Signals;
  #logger: ProgramLogger | undefined;
  #reporting = false;

  constructor(name: string, signals: Signals) {
    this.name = name;
    this.command = name;
    this.signals = signals;
    signals.onImpatience((signal) => {
      this.complain(`${signal} for the second time: ending at once`);
      void this.endNow(EXIT_FAILURE);
    });
  }

  /** Makes the program's logger. SIGUSR1 is answered from now on, with what `status` gives. */
  async start(options: LoggerOptions, status: StatusSource): Promise<ProgramLogger> {
    const logger = await createLogger(options);
    this.#logger = logger;
    this.signals.onStatus(() => void this.#report(logger, status));
    return logger;
  }

  async #report(logger: ProgramLogger, status: StatusSource): Promise<void> {
    if (this.#reporting) return;
    this.#reporting = true;
    try {
      logger.report({ status: await status() }, 'status');
    } catch (error) {
      logger.report({ err: error }, 'status cannot be told');
    } finally {
      this.#reporting = false;
    }
  }

  /** Tells the user in one line on standard error what is wrong. Never throws. */
  complain(message: string): void {
    this.say(`${this.name}: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  }

  /** Tells of an error that nobody expected, with its stack. Never throws. */
  complainOf(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.say(`${this.name}: ${text}\n`);
  }

  /**
   * Prints what the user asked for on standard output.
   *
   * @returns the exit code: a reader who has seen enough is content, a full disk is a failure
   */
  print(text: string): number {
    return this.printOn(text) ?? EXIT_OK;
  }

  /**
   * As `print`, with more to follow.
   *
   * @returns the exit code when there is nobody to print for any more
   */
  printOn(text: string): number | undefined {
    try {
      writeAll(STDOUT, text);
    } catch (error) {
      const code = errorCode(error) ?? String(error);
      if (code === 'EPIPE') return EXIT_OK;
      this.complain(`Cannot write to standard output: ${code}`);
      return EXIT_FAILURE;
    }
    return undefined;
  }

  /**
   * Ends the process without waiting for its threads; handlers of `exit` are called.
   *
   * @param status - exit code
   */
  async endNow(status: number): Promise<never> {
    try {
      const { exitNow } = await import('@node-vmm/vmm-sys-util');
      // After every other handler, and before Node joins threads that may never end.
      process.on('exit', () => exitNow(status));
    } catch {
      // Native code that did not load has started no thread either.
    }
    process.exit(status);
  }

  /** Writes text to standard error, or standard output, as it is. Never throws. */
  say(text: string, fd: number = STDERR): void {
    if (this.#logger !== undefined) {
      this.#logger.print(text, fd);
      return;
    }
    try {
      writeAll(fd, text);
    } catch {
      // A closed or full descriptor: the exit code says the rest.
    }
  }
}
