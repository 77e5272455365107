import { setTimeout as delay } from 'node:timers/promises';
import {
  shouldReconnect,
  type VhostUserFrontend,
  VhostUserMasterError,
} from '@node-vmm/vhost-user-master';
import { ECONNRESET, errorMessage, SysError } from '@node-vmm/vmm-sys-util';
import { type BackendOptions, connectBackend, readConfig } from './backend-handshake.ts';

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2000;
/** How long a back-end waits that made this process wait. */
const HOSTILE_PAUSE_MS = 5000;
/** How often a back-end that stays away is mentioned in the log. */
const REMIND_MS = 60_000;

/** What a link tells its device. */
export interface BackendLinkEvents {
  /** The back-end is gone; the link is trying to get it back. */
  onDown(): void;
  /** A back-end is there again, negotiated and with the guest's memory, but without rings. */
  onUp(frontend: VhostUserFrontend): void;
  /** The configuration space changed; `config` is fresh. */
  onConfigChange(): void;
}

/**
 * The connection to one back-end, kept up: connects again whenever it is lost, for as long as the
 * device lives, so that a back-end can be restarted under a running guest.
 */
export class BackendLink {
  readonly #options: BackendOptions;
  readonly #abort = new AbortController();
  #events: BackendLinkEvents | undefined;
  #frontend: VhostUserFrontend | undefined;
  #config: Uint8Array = new Uint8Array(0);
  #stale = false;
  #refreshing = false;
  #pause = 0;
  #peerPid = 0;
  /** Ends when the link is there again, or nobody tries any more. */
  #connecting: Promise<void> | undefined;

  private constructor(options: BackendOptions) {
    this.#options = options;
  }

  /**
   * Connects and negotiates, waiting for a back-end that is not there yet.
   *
   * @param signal - gives up
   * @throws the abort reason, or what waiting does not mend (a back-end that cannot serve this guest)
   */
  static async open(options: BackendOptions, signal: AbortSignal): Promise<BackendLink> {
    const link = new BackendLink(options);
    const abort = (): void => link.#abort.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      await link.#establish(shouldReconnect);
      return link;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** The negotiated connection, undefined while the back-end is away. */
  get frontend(): VhostUserFrontend | undefined {
    return this.#frontend;
  }

  /** The device's configuration space as last read. */
  get config(): Uint8Array {
    return this.#config;
  }

  /** Writes the configuration space for the guest. @throws {VhostUserMasterError} */
  async writeConfig(offset: number, data: Uint8Array): Promise<void> {
    this.#config.set(data.subarray(0, Math.max(this.#config.length - offset, 0)), offset);
    await this.#frontend?.setConfig(offset, data);
  }

  /** Who is told from now on. */
  listen(events: BackendLinkEvents): void {
    this.#events = events;
  }

  /** Gives up on a back-end that does not answer: the connection counts as lost. */
  drop(reason: string): void {
    this.#options.logger.warn({ socket: this.#options.path, reason }, 'dropping back-end');
    this.#frontend?.close();
    this.#lost(reason);
  }

  /**
   * Gives up on a back-end if it is one that did not answer in time.
   *
   * @param frontend - which was asked; it may be another's turn by now
   * @param error - what asking came to
   * @returns whether it did
   */
  dropIfHanging(frontend: VhostUserFrontend | undefined, error: unknown): boolean {
    const hangs = VhostUserMasterError.is(error, 'TIMEOUT') && this.#frontend === frontend;
    if (hangs) this.drop(error.message);
    return hangs;
  }

  /** Gives up on a back-end that harmed this process, and lets it wait before it can do so again. */
  dropHostile(reason: string): void {
    this.#pause = HOSTILE_PAUSE_MS;
    this.drop(reason);
  }

  /**
   * Ends the connection and makes another: what resets a back-end that has no message for it. The
   * device goes on at once, what it hands over waits.
   */
  renew(): void {
    this.#options.logger.info({ socket: this.#options.path }, 'connecting again to reset back-end');
    this.#frontend?.close();
    this.#replace();
  }

  /** Gives the back-end the guest's memory anew, if there is one. Rejects never. */
  async renewMemory(): Promise<void> {
    const frontend = this.#frontend;
    if (frontend === undefined) return;
    try {
      await this.#options.memory.renew(frontend, this.#abort.signal);
    } catch (error) {
      // What it has now nobody knows; the next connection begins with what is there.
      if (this.#frontend === frontend) this.drop(errorMessage(error));
    }
  }

  /** Process of the back-end that was connected last, 0 where it is not known. */
  get peerPid(): number {
    return this.#peerPid;
  }

  /**
   * As {@link close}, when the back-end has closed, too, or the time is over.
   *
   * @param timeoutMs - to wait at most
   */
  async finish(timeoutMs: number): Promise<void> {
    const frontend = this.#frontend;
    this.#abort.abort();
    this.#frontend = undefined;
    await Promise.all([frontend?.finish(timeoutMs), this.#connecting]);
  }

  /** Ends the connection for good. Idempotent. */
  close(): void {
    this.#abort.abort();
    this.#frontend?.close();
    this.#frontend = undefined;
  }

  #lost(reason: string): void {
    if (this.#frontend === undefined || this.#abort.signal.aborted) return;
    this.#options.logger.warn(
      { socket: this.#options.path, reason },
      'back-end lost, reconnecting',
    );
    this.#replace();
  }

  #replace(): void {
    if (this.#frontend === undefined || this.#abort.signal.aborted) return;
    this.#frontend = undefined;
    this.#events?.onDown();
    this.#connecting = this.#reestablish();
  }

  async #reestablish(): Promise<void> {
    try {
      // An unusable back-end may be replaced by a good one: the guest has nobody else to wait for.
      await this.#establish(() => true);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#options.logger.error({ socket: this.#options.path, err: error }, 'back-end unusable');
      return;
    }
    const frontend = this.#frontend;
    if (frontend !== undefined) this.#events?.onUp(frontend);
  }

  async #establish(mends: (error: unknown) => boolean): Promise<void> {
    const { path, logger, graceMs = 0 } = this.#options;
    const { signal } = this.#abort;
    let pause = FIRST_RETRY_MS;
    let remindAt = performance.now() + graceMs;
    const penalty = this.#pause;
    this.#pause = 0;
    if (penalty > 0) await delay(penalty, undefined, { signal });
    for (;;) {
      try {
        await this.#connect();
        logger.info({ socket: path }, 'back-end connected');
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!mends(error)) throw error;
        if (performance.now() >= remindAt) {
          remindAt = performance.now() + REMIND_MS;
          logger.warn({ socket: path, reason: errorMessage(error) }, 'waiting for back-end');
        }
      }
      await delay(pause, undefined, { signal });
      pause = Math.min(pause * 2, LAST_RETRY_MS);
    }
  }

  async #connect(): Promise<void> {
    const { signal } = this.#abort;
    const { frontend, config } = await connectBackend(this.#options, signal);
    // Its last reply and its end, or ours, may come in one turn, before anybody listens.
    if (signal.aborted || !frontend.live) {
      frontend.close();
      signal.throwIfAborted();
      throw new SysError({ syscall: 'recvmsg', errno: ECONNRESET });
    }
    this.#config = config;
    this.#frontend = frontend;
    this.#peerPid = frontend.peerPid;
    frontend.onConfigChange(() => void this.#refreshConfig());
    frontend.onClose((reason) => {
      if (this.#frontend === frontend) this.#lost(errorMessage(reason.error));
    });
  }

  /** One read at a time, however often the back-end says that there is something new. */
  async #refreshConfig(): Promise<void> {
    this.#stale = true;
    if (this.#refreshing) return;
    this.#refreshing = true;
    while (this.#stale && this.#frontend !== undefined) {
      this.#stale = false;
      await this.#refreshOnce(this.#frontend);
    }
    this.#refreshing = false;
  }

  async #refreshOnce(frontend: VhostUserFrontend): Promise<void> {
    try {
      const { configSize } = this.#options;
      const config = await readConfig(frontend, configSize, this.#abort.signal);
      if (this.#frontend !== frontend) return;
      this.#config = config;
      this.#events?.onConfigChange();
    } catch (error) {
      // A new back-end's is read when it is connected.
      if (this.#frontend !== frontend) return;
      this.#options.logger.warn({ err: error }, 'cannot read the configuration space');
    }
  }
}
