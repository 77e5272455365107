import {
  type CloseReason,
  FRONTEND_REQUESTS,
  type MessageTable,
  type ProtocolFeature,
  type RequestPayload,
  VHOST_USER_CONFIG_FLAG_WRITABLE,
} from '@node-vmm/vhost-user';
import type { ShareableMemory } from '@node-vmm/vm-memory';
import {
  checkInteger,
  closeFds,
  type Fd,
  type Logger,
  type Poller,
  SysError,
  silentLogger,
  type UnixStream,
} from '@node-vmm/vmm-sys-util';
import { readConfig } from './config-space.ts';
import { connectStream } from './connect.ts';
import { VhostUserMasterError } from './errors.ts';
import { InflightFile, type InflightShape } from './inflight-file.ts';
import { PROTOCOL_FEATURES_BIT, type Wanted } from './negotiation.ts';
import { type Answer, closedError, type RequestName, type RequestOptions } from './requester.ts';
import { cannotReset, reopen, resetByMessage } from './reset.ts';
import { Session, type SessionContext } from './session.ts';
import { startVring, stopVring, type VringConfig } from './vring.ts';

type Table = typeof FRONTEND_REQUESTS;

/** What a front-end needs from its surroundings. */
export interface FrontendOptions {
  /** Watches the sockets; a `MainPoller`, because requests are promises. */
  readonly poller: Poller;
  readonly logger?: Logger;
  /**
   * Milliseconds to wait for each reply, default 5000. A back-end that maps memory has a minute, and one more
   * for each GiB of a Xen guest, unless `setMemTable` is told otherwise.
   */
  readonly timeoutMs?: number;
}

/** Options of {@link VhostUserFrontend.connect}. */
export interface ConnectOptions extends FrontendOptions {
  readonly path: string;
  /** Milliseconds to keep trying while nobody listens, default 0. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
  /** Whether `resetDevice` may connect to `path` again, default true. */
  readonly reconnect?: boolean;
}

/** Options of {@link VhostUserFrontend.fromStream}. */
export interface StreamOptions extends FrontendOptions {
  /** Makes another connection to the back-end, for `resetDevice`. The stream becomes the front-end's. */
  readonly reconnect?: (signal: AbortSignal) => Promise<UnixStream>;
}

const DEFAULT_TIMEOUT = 5000;
const MAX_VRING = 255;

/**
 * The front-end of one vhost-user device: connects to a back-end, hands it guest memory and
 * virtqueues, and notices when it goes away. Every method that asks the back-end ends within
 * `timeoutMs`, or within what mapping memory takes; methods may be called without waiting for the one before, the order is kept.
 */
export class VhostUserFrontend implements Disposable {
  readonly #context: SessionContext;
  readonly #reconnect: StreamOptions['reconnect'];
  readonly #abort = new AbortController();
  readonly #closeListeners: ((reason: CloseReason) => void)[] = [];
  readonly #configListeners: (() => void)[] = [];
  readonly #started = new Set<number>();
  #session: Session;
  #wanted: Wanted = {};
  #memory: ShareableMemory | undefined;
  #resetting: Promise<void> | undefined;

  private constructor(stream: UnixStream, options: StreamOptions) {
    this.#reconnect = options.reconnect;
    this.#context = {
      poller: options.poller,
      logger: options.logger ?? silentLogger,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT,
      onLost: (session, reason) => {
        if (session === this.#session) this.#lost(reason);
      },
      onConfigChange: () => {
        for (const listener of this.#configListeners) listener();
      },
    };
    this.#session = new Session(stream, this.#context);
  }

  /**
   * Connects to a back-end that listens.
   *
   * @throws {SysError} ENOENT, ECONNREFUSED when nobody listens within `waitMs`; EACCES ...
   * @throws {VhostUserMasterError} ABORTED
   * @throws {RangeError} when the path is too long
   */
  static async connect(options: ConnectOptions): Promise<VhostUserFrontend> {
    const { path, waitMs = 0, signal, reconnect = true, ...others } = options;
    const stream = await connectStream(path, waitMs, signal);
    return new VhostUserFrontend(stream, {
      ...others,
      ...(reconnect ? { reconnect: (again) => connectStream(path, 0, again) } : {}),
    });
  }

  /** Takes over a connected stream, as when the back-end connects to us. @throws {SysError} */
  static fromStream(stream: UnixStream, options: StreamOptions): VhostUserFrontend {
    return new VhostUserFrontend(stream, options);
  }

  /** False once the connection ended. */
  get live(): boolean {
    return this.#session.live;
  }

  /**
   * Process that listens at the back-end's socket (`SO_PEERCRED`), 0 where it is none of this process's PID
   * namespace. It is the back-end itself, unless somebody listens for it, as a service manager does.
   */
  get peerPid(): number {
    return this.#session.peerPid;
  }

  /** Virtio features for the guest: offered by the back-end and admitted, without bit 30. */
  get deviceFeatures(): bigint {
    return this.#session.agreed.deviceFeatures;
  }

  /** Protocol features that both sides have. */
  get protocolFeatures(): bigint {
    return this.#session.agreed.protocolFeatures;
  }

  /** Queues that the back-end has; undefined when it does not say (no MQ). */
  get queueCount(): number | undefined {
    const count = this.#session.agreed.queueCount;
    return count === undefined ? undefined : Number(count);
  }

  /**
   * Calls back once when the connection ends, not after `close`. Pending requests have been rejected
   * then, and the sockets are closed.
   */
  onClose(listener: (reason: CloseReason) => void): void {
    this.#closeListeners.push(listener);
  }

  /** Calls back when the back-end says that configuration space changed (BACKEND_REQ). */
  onConfigChange(listener: () => void): void {
    this.#configListeners.push(listener);
  }

  /**
   * Takes ownership of the device and agrees on features. Must come first.
   *
   * @param wanted - masks of what to admit; default is all that this library knows to use
   * @throws {VhostUserMasterError} as every request
   */
  async negotiate(wanted: Wanted = {}, options: RequestOptions = {}): Promise<void> {
    this.#wanted = wanted;
    await this.#session.negotiate(wanted, options);
  }

  /** Tells the back-end what the guest's driver accepted of {@link deviceFeatures}. */
  async setFeatures(features: bigint, options: RequestOptions = {}): Promise<void> {
    const bit = this.#session.agreed.hasProtocolFeatures ? PROTOCOL_FEATURES_BIT : 0n;
    await this.#session.requester.command('VHOST_USER_SET_FEATURES', features | bit, options);
  }

  /**
   * Shares guest memory, in place of what was shared before.
   *
   * @throws {VhostUserMasterError} TOO_MANY_REGIONS, XEN_MMAP_MISSING
   */
  async setMemTable(memory: ShareableMemory, options: RequestOptions = {}): Promise<void> {
    this.#memory = memory;
    await this.#session.setMemTable(memory, options);
  }

  /**
   * Waits until the back-end has done all that it was asked for so far, also what it does not acknowledge.
   *
   * @throws {VhostUserMasterError} as every request
   */
  async settled(options: RequestOptions = {}): Promise<void> {
    const { requester } = this.#session;
    // Requests are done in order, and this one changes nothing.
    if (!requester.replyAck) await requester.request('VHOST_USER_GET_FEATURES', undefined, options);
  }

  /**
   * Hands a virtqueue to the back-end and resolves once it is served. The kick eventfd is signalled
   * then, so that a notification that the guest sent early is not lost.
   *
   * @throws {RangeError} when the back-end has no queue of that index
   * @throws {VhostUserMasterError} as every request
   */
  async startVring(config: VringConfig, options: RequestOptions = {}): Promise<void> {
    this.#checkIndex(config.index);
    const { hasProtocolFeatures } = this.#session.agreed;
    this.#started.add(config.index);
    await startVring(this.#session.requester, config, hasProtocolFeatures, options);
  }

  /**
   * Takes a virtqueue back: the back-end has let go of rings and eventfds.
   *
   * @returns the base to start it at again
   */
  async stopVring(index: number, options: RequestOptions = {}): Promise<number> {
    this.#checkIndex(index);
    const base = await stopVring(this.#session.requester, index, options);
    this.#started.delete(index);
    return base;
  }

  /**
   * Asks for a file in which the back-end records its requests in flight. It is to be kept for the next
   * back-end, and given to this one by {@link setInflight}; `InflightKeeper` does both.
   *
   * @returns the caller's
   * @throws {VhostUserMasterError} NOT_NEGOTIATED (INFLIGHT_SHMFD), WRONG_REPLY, NO_INFLIGHT_AREA,
   * OUT_OF_DESCRIPTORS
   */
  async getInflight(shape: InflightShape, options: RequestOptions = {}): Promise<InflightFile> {
    const request = 'VHOST_USER_GET_INFLIGHT_FD';
    this.#need('VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD', request);
    const { queues: numQueues, queueSize } = shape;
    const { payload, fds } = await this.#session.requester.request(
      request,
      { mmapSize: 0n, mmapOffset: 0n, numQueues, queueSize },
      options,
    );
    const [fd, ...others] = fds;
    closeFds(others);
    if (fd !== undefined) return new InflightFile(payload, shape, fd);
    if (payload.mmapSize === 0n) {
      throw new VhostUserMasterError(
        'NO_INFLIGHT_AREA',
        'Cannot have an area for requests in flight: the back-end has none to give, as its log should say why',
        { request },
      );
    }
    throw new VhostUserMasterError(
      'WRONG_REPLY',
      'Cannot use the area for requests in flight: the back-end answered without a file',
      { request },
    );
  }

  /**
   * Gives the back-end the file of {@link getInflight}, perhaps another back-end's. Before the first ring is
   * started: where a ring has unfinished requests in it, the back-end begins with those. The ring's `base` is
   * its used index then.
   *
   * @throws {VhostUserMasterError} NOT_NEGOTIATED (INFLIGHT_SHMFD), REQUEST_FAILED (with REPLY_ACK)
   */
  async setInflight(file: InflightFile, options: RequestOptions = {}): Promise<void> {
    const request = 'VHOST_USER_SET_INFLIGHT_FD';
    this.#need('VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD', request);
    await this.#session.requester.command(request, file.area, options, [file.fd]);
  }

  /**
   * Reads configuration space.
   *
   * @param offset - bytes
   * @param size - bytes; `offset + size` is at most 4096
   * @throws {VhostUserMasterError} NOT_NEGOTIATED (CONFIG), REQUEST_FAILED, WRONG_REPLY
   */
  async getConfig(offset: number, size: number, options: RequestOptions = {}): Promise<Uint8Array> {
    this.#need('VHOST_USER_PROTOCOL_F_CONFIG', 'VHOST_USER_GET_CONFIG');
    return await readConfig(this.#session.requester, offset, size, options);
  }

  /**
   * Writes configuration space on behalf of the guest's driver.
   *
   * @throws {VhostUserMasterError} NOT_NEGOTIATED (CONFIG), REQUEST_FAILED (with REPLY_ACK)
   */
  async setConfig(offset: number, data: Uint8Array, options: RequestOptions = {}): Promise<void> {
    this.#need('VHOST_USER_PROTOCOL_F_CONFIG', 'VHOST_USER_SET_CONFIG');
    const flags = VHOST_USER_CONFIG_FLAG_WRITABLE;
    await this.#session.requester.command(
      'VHOST_USER_SET_CONFIG',
      { offset, flags, data },
      options,
    );
  }

  /**
   * Puts the device back to its initial state: stops every vring that was started, then resets by
   * RESET_DEVICE or STATUS. Where the back-end has neither, or did not reset, the connection is ended
   * and made again, because a new connection begins with a device in its initial state; what was
   * negotiated is negotiated anew and the memory shared again. `setFeatures` and `startVring` come
   * next. Wait for the end before anything else is asked.
   *
   * After a new connection {@link deviceFeatures} may differ: another back-end may have answered. When
   * no new connection comes about within `timeoutMs`, the front-end has lost its back-end (`onClose`).
   *
   * @throws {VhostUserMasterError} CANNOT_RESET when it takes a new connection and this front-end was
   * made without `reconnect`: vrings are stopped, the device still has its state
   * @throws {SysError} ENOENT, ECONNREFUSED ... when nobody listens any more
   */
  async resetDevice(options: RequestOptions = {}): Promise<void> {
    this.#resetting ??= this.#resetDevice(options).finally(() => {
      this.#resetting = undefined;
    });
    await this.#resetting;
  }

  /**
   * Passes the driver's device status on, where the back-end has STATUS; else does nothing.
   *
   * @param status - VIRTIO 1.3 §2.1
   */
  async setStatus(status: number, options: RequestOptions = {}): Promise<void> {
    if (!this.#session.has('VHOST_USER_PROTOCOL_F_STATUS')) return;
    await this.#session.requester.command('VHOST_USER_SET_STATUS', BigInt(status), options);
  }

  /**
   * Any request that is always answered, for what has no method of its own.
   *
   * @param fds - stay the caller's
   * @returns the reply and its descriptors, which the caller owns
   */
  async request<N extends RequestName>(
    name: N,
    payload: RequestPayload<Table, N>,
    options: RequestOptions = {},
    fds: readonly Fd[] = [],
  ): Promise<Answer<N>> {
    this.#needFor(name);
    return await this.#session.requester.request(name, payload, options, fds);
  }

  /** Any other request; acknowledged when REPLY_ACK has been negotiated. */
  async command<N extends RequestName>(
    name: N,
    payload: RequestPayload<Table, N>,
    options: RequestOptions = {},
    fds: readonly Fd[] = [],
  ): Promise<void> {
    this.#needFor(name);
    await this.#session.requester.command(name, payload, options, fds);
  }

  /**
   * As {@link close}, but waits for the back-end to close its end, by when it should have let go of what it
   * was given. Pending requests reject at once.
   *
   * @param timeoutMs - to wait for that; then the connection is closed all the same
   * @returns whether the back-end closed in time
   */
  async finish(timeoutMs: number): Promise<boolean> {
    this.#closeListeners.length = 0;
    this.#configListeners.length = 0;
    this.#abort.abort();
    this.#started.clear();
    return await this.#session.finish(timeoutMs);
  }

  /** Ends the connection; pending requests reject with CLOSED. Idempotent. */
  close(): void {
    this.#closeListeners.length = 0;
    this.#configListeners.length = 0;
    this.#abort.abort();
    this.#session.close();
    this.#started.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #lost(reason: CloseReason): void {
    this.#started.clear();
    for (const listener of this.#closeListeners) listener(reason);
  }

  async #resetDevice(options: RequestOptions): Promise<void> {
    const old = this.#session;
    if (old.requester.ended !== undefined) throw old.requester.ended;
    await Promise.all([...this.#started].map((index) => this.stopVring(index, options)));
    if (await resetByMessage(old, options)) return;
    const connect = this.#reconnect;
    if (connect === undefined) throw cannotReset();
    old.close();
    const signals = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([this.#abort.signal, ...signals]);
    const { timeoutMs = this.#context.timeoutMs } = options;
    const open = (): Promise<Session> => this.#open(connect, { ...options, signal });
    try {
      this.#session = await reopen(open, timeoutMs, signal);
    } catch (error) {
      if (this.#abort.signal.aborted) throw closedError();
      this.#lost(
        SysError.is(error) ? { kind: 'system-error', error } : { kind: 'internal-error', error },
      );
      throw error;
    }
  }

  /** A new session, as far as this front-end got with the last. */
  async #open(
    connect: NonNullable<StreamOptions['reconnect']>,
    options: RequestOptions & { readonly signal: AbortSignal },
  ): Promise<Session> {
    const session = new Session(await connect(options.signal), this.#context);
    try {
      await session.negotiate(this.#wanted, options);
      if (this.#memory !== undefined) await session.setMemTable(this.#memory, options);
      // Its last reply and its end may come in one turn, and so may the front-end's own.
      if (session.requester.ended !== undefined) throw session.requester.ended;
      if (options.signal.aborted) throw closedError();
      return session;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  #need(feature: ProtocolFeature, request: RequestName): void {
    if (this.#session.has(feature)) return;
    throw new VhostUserMasterError(
      'NOT_NEGOTIATED',
      `Cannot send ${request}: the back-end lacks ${feature}`,
      { request },
    );
  }

  #needFor(name: RequestName): void {
    const { feature } = (FRONTEND_REQUESTS as MessageTable)[name] ?? {};
    if (feature !== undefined) this.#need(feature, name);
  }

  #checkIndex(index: number): void {
    checkInteger('index', index, 0, Math.min(MAX_VRING, (this.queueCount ?? MAX_VRING + 1) - 1));
  }
}
