import { errorMessage, type Logger, UnixDatagram } from '@node-vmm/vmm-sys-util';
import type { NotifyOptions } from './service-environment.ts';

/** Longest timer that JavaScript has, milliseconds. */
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/**
 * Tells a service manager how this process is, as sd_notify(3) has it. Where there is none all of it
 * does nothing; one that cannot be told is in the log once, and stops nobody.
 */
export class ServiceManager {
  readonly #options: NotifyOptions;
  readonly #logger: Logger;
  /** Kept: a manager that hears nothing because there is no descriptor left would end all guests. */
  #sender: UnixDatagram | undefined;
  #timer: NodeJS.Timeout | undefined;
  #asking = false;
  #failed = false;

  constructor(options: NotifyOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
  }

  /** Everything is served. @param status - for people, one line */
  ready(status: string): void {
    this.#tell(`READY=1\nSTATUS=${status}`);
  }

  /** @param status - for people, one line */
  status(status: string): void {
    this.#tell(`STATUS=${status}`);
  }

  /** The end has begun. */
  stopping(): void {
    this.#unwatch();
    this.#tell('STOPPING=1\nSTATUS=ending');
  }

  /**
   * Tells from now on, for as long as it is so, that all is well. Asked four times in the manager's
   * interval, with half of it to answer, so that word comes in time when the answer does.
   *
   * @param well - whether all is well, found out within so many milliseconds
   */
  watch(well: (timeoutMs: number) => Promise<boolean>): void {
    const { watchdogMs, socket } = this.#options;
    if (watchdogMs === undefined || socket === undefined) return;
    const most = Math.min(Math.max(1, Math.floor(watchdogMs / 2)), MAX_TIMEOUT_MS);
    const look = (): void => {
      if (this.#asking) return;
      this.#asking = true;
      void well(most)
        .then((is) => {
          if (is && this.#timer !== undefined) this.#tell('WATCHDOG=1');
        })
        .finally(() => {
          this.#asking = false;
        });
    };
    this.#timer = setInterval(look, Math.min(Math.max(1, watchdogMs / 4), MAX_TIMEOUT_MS)).unref();
    look();
  }

  /** Says no more that all is well. Idempotent. */
  close(): void {
    this.#unwatch();
    this.#sender?.close();
    this.#sender = undefined;
  }

  #unwatch(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tell(state: string): void {
    const { socket } = this.#options;
    if (socket === undefined) return;
    try {
      this.#sender ??= UnixDatagram.unbound();
      this.#sender.sendTo(socket, Buffer.from(state));
      this.#failed = false;
    } catch (error) {
      if (this.#failed) return;
      this.#failed = true;
      this.#logger.warn(
        { err: error },
        `service manager not told at NOTIFY_SOCKET ${socket}: ${errorMessage(error)}`,
      );
    }
  }
}
