import {
  type CloseReason,
  FRONTEND_REQUESTS,
  hasProtocolFeature,
  type MessageTable,
  type ProtocolFeature,
  protocolFeatureNames,
  type RequestPayload,
  VHOST_USER_CONFIG_FLAG_WRITABLE,
} from '@node-vmm/vhost-user';
import type { ShareableMemory } from '@node-vmm/vm-memory';
import {
  checkInteger,
  type Fd,
  hex,
  type Logger,
  type Poller,
  silentLogger,
  type UnixStream,
} from '@node-vmm/vmm-sys-util';
import { BackendChannel } from './backend-channel.ts';
import { readConfig } from './config-space.ts';
import { connectStream } from './connect.ts';
import { VhostUserMasterError } from './errors.ts';
import { planMemoryTable } from './memory-table.ts';
import { type Negotiated, negotiate, PROTOCOL_FEATURES_BIT, type Wanted } from './negotiation.ts';
import { type Answer, Requester, type RequestName, type RequestOptions } from './requester.ts';
import { startVring, stopVring, type VringConfig } from './vring.ts';

type Table = typeof FRONTEND_REQUESTS;

/** What a front-end needs from its surroundings. */
export interface FrontendOptions {
  /** Watches the sockets; a `MainPoller`, because requests are promises. */
  readonly poller: Poller;
  readonly logger?: Logger;
  /** Milliseconds to wait for each reply, default 5000. */
  readonly timeoutMs?: number;
}

/** Options of {@link VhostUserFrontend.connect}. */
export interface ConnectOptions extends FrontendOptions {
  readonly path: string;
  /** Milliseconds to keep trying while nobody listens, default 0. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_TIMEOUT = 5000;
const MAX_VRING = 255;

/**
 * The front-end of one vhost-user device: connects to a back-end, hands it guest memory and
 * virtqueues, and notices when it goes away. Every method that asks the back-end ends within
 * `timeoutMs`; methods may be called without waiting for the one before, the order is kept.
 */
export class VhostUserFrontend implements Disposable {
  readonly #requester: Requester;
  readonly #poller: Poller;
  readonly #logger: Logger;
  readonly #closeListeners: ((reason: CloseReason) => void)[] = [];
  readonly #configListeners: (() => void)[] = [];
  readonly #started = new Set<number>();
  #negotiated: Negotiated | undefined;
  #channel: BackendChannel | undefined;

  private constructor(stream: UnixStream, options: FrontendOptions) {
    this.#poller = options.poller;
    this.#logger = options.logger ?? silentLogger;
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT;
    this.#requester = new Requester(stream, options.poller, timeoutMs, (reason) => {
      this.#channel?.close();
      this.#started.clear();
      for (const listener of this.#closeListeners) listener(reason);
    });
  }

  /**
   * Connects to a back-end that listens.
   *
   * @throws {SysError} ENOENT, ECONNREFUSED when nobody listens within `waitMs`; EACCES ...
   * @throws {VhostUserMasterError} ABORTED
   * @throws {RangeError} when the path is too long
   */
  static async connect(options: ConnectOptions): Promise<VhostUserFrontend> {
    const stream = await connectStream(options.path, options.waitMs ?? 0, options.signal);
    return new VhostUserFrontend(stream, options);
  }

  /** Takes over a connected stream, as when the back-end connects to us. @throws {SysError} */
  static fromStream(stream: UnixStream, options: FrontendOptions): VhostUserFrontend {
    return new VhostUserFrontend(stream, options);
  }

  /** False once the connection ended. */
  get live(): boolean {
    return this.#requester.live;
  }

  /** Virtio features for the guest: offered by the back-end and admitted, without bit 30. */
  get deviceFeatures(): bigint {
    return this.#agreed().deviceFeatures;
  }

  /** Protocol features that both sides have. */
  get protocolFeatures(): bigint {
    return this.#agreed().protocolFeatures;
  }

  /** Queues that the back-end has; undefined when it does not say (no MQ). */
  get queueCount(): number | undefined {
    const count = this.#agreed().queueCount;
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
    const negotiated = await negotiate(this.#requester, wanted, options);
    this.#negotiated = negotiated;
    if (this.#has('VHOST_USER_PROTOCOL_F_BACKEND_REQ')) await this.#openChannel(options);
    this.#logger.debug(
      {
        deviceFeatures: hex(negotiated.deviceFeatures),
        protocolFeatures: protocolFeatureNames(negotiated.protocolFeatures),
        queueCount: this.queueCount,
      },
      'vhost-user features negotiated',
    );
  }

  /** Tells the back-end what the guest's driver accepted of {@link deviceFeatures}. */
  async setFeatures(features: bigint, options: RequestOptions = {}): Promise<void> {
    const bit = this.#agreed().hasProtocolFeatures ? PROTOCOL_FEATURES_BIT : 0n;
    await this.#requester.command('VHOST_USER_SET_FEATURES', features | bit, options);
  }

  /**
   * Shares guest memory, in place of what was shared before.
   *
   * @throws {VhostUserMasterError} TOO_MANY_REGIONS, XEN_MMAP_MISSING
   */
  async setMemTable(memory: ShareableMemory, options: RequestOptions = {}): Promise<void> {
    const { memSlots } = this.#agreed();
    const { table, added } = planMemoryTable(memory, {
      xenMmap: this.#has('VHOST_USER_PROTOCOL_F_XEN_MMAP'),
      memSlots: memSlots === undefined ? undefined : Number(memSlots),
    });
    await Promise.all([
      this.#requester.command(
        'VHOST_USER_SET_MEM_TABLE',
        table.map(({ region }) => region),
        options,
        table.map(({ fd }) => fd),
      ),
      ...added.map(({ region, fd }) =>
        this.#requester.command('VHOST_USER_ADD_MEM_REG', region, options, [fd]),
      ),
    ]);
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
    const { hasProtocolFeatures } = this.#agreed();
    this.#started.add(config.index);
    await startVring(this.#requester, config, hasProtocolFeatures, options);
  }

  /**
   * Takes a virtqueue back: the back-end has let go of rings and eventfds.
   *
   * @returns the base to start it at again
   */
  async stopVring(index: number, options: RequestOptions = {}): Promise<number> {
    this.#checkIndex(index);
    const base = await stopVring(this.#requester, index, options);
    this.#started.delete(index);
    return base;
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
    return await readConfig(this.#requester, offset, size, options);
  }

  /**
   * Writes configuration space on behalf of the guest's driver.
   *
   * @throws {VhostUserMasterError} NOT_NEGOTIATED (CONFIG), REQUEST_FAILED (with REPLY_ACK)
   */
  async setConfig(offset: number, data: Uint8Array, options: RequestOptions = {}): Promise<void> {
    this.#need('VHOST_USER_PROTOCOL_F_CONFIG', 'VHOST_USER_SET_CONFIG');
    const flags = VHOST_USER_CONFIG_FLAG_WRITABLE;
    await this.#requester.command('VHOST_USER_SET_CONFIG', { offset, flags, data }, options);
  }

  /**
   * Puts the device back to its initial state: stops every vring that was started, then resets by
   * RESET_DEVICE or STATUS where the back-end has one of them.
   */
  async resetDevice(options: RequestOptions = {}): Promise<void> {
    await Promise.all([...this.#started].map((index) => this.stopVring(index, options)));
    if (this.#has('VHOST_USER_PROTOCOL_F_RESET_DEVICE')) {
      await this.#requester.command('VHOST_USER_RESET_DEVICE', undefined, options);
    } else if (this.#has('VHOST_USER_PROTOCOL_F_STATUS')) {
      await this.#requester.command('VHOST_USER_SET_STATUS', 0n, options);
    }
  }

  /**
   * Passes the driver's device status on, where the back-end has STATUS; else does nothing.
   *
   * @param status - VIRTIO 1.3 §2.1
   */
  async setStatus(status: number, options: RequestOptions = {}): Promise<void> {
    if (!this.#has('VHOST_USER_PROTOCOL_F_STATUS')) return;
    await this.#requester.command('VHOST_USER_SET_STATUS', BigInt(status), options);
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
    return await this.#requester.request(name, payload, options, fds);
  }

  /** Any other request; acknowledged when REPLY_ACK has been negotiated. */
  async command<N extends RequestName>(
    name: N,
    payload: RequestPayload<Table, N>,
    options: RequestOptions = {},
    fds: readonly Fd[] = [],
  ): Promise<void> {
    this.#needFor(name);
    await this.#requester.command(name, payload, options, fds);
  }

  /** Ends the connection; pending requests reject with CLOSED. Idempotent. */
  close(): void {
    this.#closeListeners.length = 0;
    this.#configListeners.length = 0;
    this.#channel?.close();
    this.#requester.close();
    this.#started.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #openChannel(options: RequestOptions): Promise<void> {
    const replyAck = this.#has('VHOST_USER_PROTOCOL_F_REPLY_ACK');
    const channel = new BackendChannel(this.#poller, replyAck, this.#logger, () => {
      for (const listener of this.#configListeners) listener();
    });
    this.#channel?.close();
    this.#channel = channel;
    const { remoteFds } = channel;
    try {
      await this.#requester.command('VHOST_USER_SET_BACKEND_REQ_FD', undefined, options, remoteFds);
      channel.handedOver();
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  #agreed(): Negotiated {
    if (this.#negotiated !== undefined) return this.#negotiated;
    throw new TypeError('Cannot use the front-end: "negotiate" has not been called');
  }

  #has(feature: ProtocolFeature): boolean {
    return hasProtocolFeature(this.#agreed().protocolFeatures, feature);
  }

  #need(feature: ProtocolFeature, request: RequestName): void {
    if (this.#has(feature)) return;
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
