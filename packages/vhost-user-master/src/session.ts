import {
  type CloseReason,
  hasProtocolFeature,
  type MemoryRegion,
  type ProtocolFeature,
  protocolFeatureNames,
} from '@node-vmm/vhost-user';
import type { ShareableMemory } from '@node-vmm/vm-memory';
import { hex, type Logger, type Poller, type UnixStream } from '@node-vmm/vmm-sys-util';
import { BackendChannel } from './backend-channel.ts';
import { mappingTime } from './mapping-time.ts';
import { planMemoryTable } from './memory-table.ts';
import { type Negotiated, negotiate, type Wanted } from './negotiation.ts';
import { Requester, type RequestOptions } from './requester.ts';

/** How often is said that a back-end is still mapping memory, milliseconds. */
const PROGRESS_MS = 5_000;

/** What every session of a front-end works with. */
export interface SessionContext {
  readonly poller: Poller;
  readonly logger: Logger;
  /** Milliseconds to wait for each reply. */
  readonly timeoutMs: number;
  /** The connection ended by itself; pending requests have been rejected. */
  onLost(session: Session, reason: CloseReason): void;
  onConfigChange(): void;
}

/** One connection to a back-end, with what was agreed on it. */
export class Session {
  readonly requester: Requester;
  /** Process that listened, as the kernel noted it; 0 where it is not known. */
  readonly peerPid: number;
  readonly #context: SessionContext;
  #negotiated: Negotiated | undefined;
  #channel: BackendChannel | undefined;

  /** @throws {SysError} when the socket cannot be polled; it is closed then */
  constructor(stream: UnixStream, context: SessionContext) {
    this.#context = context;
    this.peerPid = pidOf(stream);
    const { poller, timeoutMs } = context;
    this.requester = new Requester(stream, poller, timeoutMs, (reason) => {
      this.#channel?.close();
      context.onLost(this, reason);
    });
  }

  /** False once the connection ended. */
  get live(): boolean {
    return this.requester.live;
  }

  /** @throws {TypeError} before `negotiate` */
  get agreed(): Negotiated {
    if (this.#negotiated !== undefined) return this.#negotiated;
    throw new TypeError('Cannot use the front-end: "negotiate" has not been called');
  }

  has(feature: ProtocolFeature): boolean {
    return hasProtocolFeature(this.agreed.protocolFeatures, feature);
  }

  /** @throws {VhostUserMasterError} as every request */
  async negotiate(wanted: Wanted, options: RequestOptions): Promise<void> {
    const negotiated = await negotiate(this.requester, wanted, options);
    this.#negotiated = negotiated;
    if (this.has('VHOST_USER_PROTOCOL_F_BACKEND_REQ')) await this.#openChannel(options);
    this.#context.logger.debug(
      {
        deviceFeatures: hex(negotiated.deviceFeatures),
        protocolFeatures: protocolFeatureNames(negotiated.protocolFeatures),
        queueCount: negotiated.queueCount === undefined ? undefined : Number(negotiated.queueCount),
      },
      'vhost-user features negotiated',
    );
  }

  /** @throws {VhostUserMasterError} TOO_MANY_REGIONS, XEN_MMAP_MISSING; and as every request */
  async setMemTable(memory: ShareableMemory, options: RequestOptions): Promise<void> {
    const { memSlots } = this.agreed;
    const { table, added } = planMemoryTable(memory, {
      xenMmap: this.has('VHOST_USER_PROTOCOL_F_XEN_MMAP'),
      memSlots: memSlots === undefined ? undefined : Number(memSlots),
    });
    const regions = [...table, ...added].map(({ region }) => region);
    const timeoutMs = options.timeoutMs ?? mappingTime(regions);
    const patient = { ...options, timeoutMs };
    const said = this.#sayThatItMaps(regions);
    try {
      await Promise.all([
        this.requester.command(
          'VHOST_USER_SET_MEM_TABLE',
          table.map(({ region }) => region),
          patient,
          table.map(({ fd }) => fd),
        ),
        ...added.map(({ region, fd }) =>
          this.requester.command('VHOST_USER_ADD_MEM_REG', region, patient, [fd]),
        ),
      ]);
    } finally {
      clearInterval(said);
    }
    // Without acknowledgements the back-end may still be at it when it is asked for something else.
    if (!this.requester.replyAck) this.requester.nextReplyWithin(timeoutMs);
  }

  /** Who waits for long is to know what for. */
  #sayThatItMaps(regions: readonly MemoryRegion[]): NodeJS.Timeout {
    const mebibytes = regions.reduce((sum, { size }) => sum + Number(size), 0) / 2 ** 20;
    const start = performance.now();
    return setInterval(() => {
      const seconds = Math.round((performance.now() - start) / 1000);
      this.#context.logger.warn(
        { seconds, mebibytes },
        `the back-end has been mapping ${mebibytes} MiB of guest memory for ${seconds} s`,
      );
    }, PROGRESS_MS);
  }

  /** As {@link close}, when the back-end has closed, too. @returns whether it did in time, milliseconds */
  async finish(timeoutMs: number): Promise<boolean> {
    const closed = await this.requester.finish(timeoutMs);
    this.#channel?.close();
    return closed;
  }

  /** Idempotent. */
  close(): void {
    this.#channel?.close();
    this.requester.close();
  }

  async #openChannel(options: RequestOptions): Promise<void> {
    const { poller, logger } = this.#context;
    const replyAck = this.has('VHOST_USER_PROTOCOL_F_REPLY_ACK');
    const channel = new BackendChannel(poller, replyAck, logger, () =>
      this.#context.onConfigChange(),
    );
    this.#channel?.close();
    this.#channel = channel;
    const { remoteFds } = channel;
    try {
      await this.requester.command('VHOST_USER_SET_BACKEND_REQ_FD', undefined, options, remoteFds);
      channel.handedOver();
    } catch (error) {
      channel.close();
      throw error;
    }
  }
}

function pidOf(stream: UnixStream): number {
  try {
    return stream.peerPid;
  } catch {
    // It says no more than who to look at.
    return 0;
  }
}
