import {
  type InflightArea as AreaDescription,
  type ConfigWindow,
  type FRONTEND_REQUESTS,
  hasProtocolFeature,
  type MemoryRegion,
  type Request,
  type VringFd,
} from '@node-vmm/vhost-user';
import { type Fd, hex, type Logger, type Poller, SysError } from '@node-vmm/vmm-sys-util';
import type { DeviceDescription, RingFdKind } from '../between/worker-calls.ts';
import { VhostUserBackendError } from '../errors.ts';
import { BackendChannel } from './backend-channel.ts';
import type { DeviceLink } from './device-link.ts';
import {
  FRAMEWORK_FEATURES,
  PROTOCOL_FEATURES_BIT,
  protocolFeaturesFor,
  RING_FEATURES,
} from './features.ts';
import { FrontEndMemory } from './front-end-memory.ts';
import { FrontEndRings } from './front-end-rings.ts';
import type { FileHolder, GuestFiles } from './guest-files.ts';
import { InflightArea } from './inflight-area.ts';
import { isBegun } from './inflight-begun.ts';
import { MAX_MEM_SLOTS } from './memory-table.ts';
import { takeEventFd } from './received-fd.ts';
import type { RegionMapper } from './region-mapper.ts';
import type { StateBeginning } from './state-beginning.ts';

export type FrontendRequest = Request<typeof FRONTEND_REQUESTS>;

/** What the connection of a front-end needs. */
export interface FrontEndOptions {
  /** Of the device, for messages. */
  readonly name: string;
  readonly description: DeviceDescription;
  readonly device: DeviceLink;
  readonly poller: Poller;
  readonly logger: Logger;
  /** Of the device; XEN_MMAP is offered where it maps memory of Xen domains. */
  readonly mapper: RegionMapper;
  /** CONFIGURE_MEM_SLOTS is offered. */
  readonly memSlots: boolean;
  /** Of all guests of the daemon. */
  readonly files: GuestFiles;
  /** Of the device, whoever is connected. */
  readonly state: StateBeginning;
  readonly nextGeneration: () => number;
}

const FD_KINDS = {
  VHOST_USER_SET_VRING_KICK: 'kick',
  VHOST_USER_SET_VRING_CALL: 'call',
  VHOST_USER_SET_VRING_ERR: 'err',
} as const satisfies Record<string, RingFdKind>;

/**
 * What each request of a front-end does, and the state of its connection. Requests come one at a time, in order, each executed to its end before
 * the next.
 */
export class FrontEndRequests {
  readonly memory: FrontEndMemory;
  readonly #options: FrontEndOptions;
  readonly #rings: FrontEndRings;
  readonly #offered: bigint;
  readonly #protocolOffered: bigint;
  /** Undefined until the front-end has said. */
  #protocolFeatures: bigint | undefined;
  #excessLogged = false;
  #status = 0n;
  #channel: BackendChannel | undefined;

  /** @param holder - in whose name files are held */
  constructor(options: FrontEndOptions, holder: FileHolder) {
    this.#options = options;
    const { description, device, logger, nextGeneration, mapper, files } = options;
    this.#offered = description.features | FRAMEWORK_FEATURES;
    this.#protocolOffered = protocolFeaturesFor(description, {
      xenMmap: mapper.mapsForeign,
      memSlots: options.memSlots,
    });
    const held = files.heldBy(holder);
    this.memory = new FrontEndMemory(device, nextGeneration, held, mapper);
    this.#rings = new FrontEndRings(description.queueMaxSizes, device, this.memory, logger);
  }

  /**
   * True when requests may ask for acknowledgements. Who asks without a word of protocol features has
   * negotiated with the process before this one, as QEMU 7.2 has where it listens, and waits.
   */
  get replyAck(): boolean {
    const negotiated = this.#protocolFeatures ?? this.#protocolOffered;
    return hasProtocolFeature(negotiated, 'VHOST_USER_PROTOCOL_F_REPLY_ACK');
  }

  /**
   * Executes a request.
   *
   * @param fds - become the handler's
   * @param replyFds - takes the descriptors of the reply, for the caller to close
   * @returns the payload of the reply, for requests that have one
   * @throws {VhostUserBackendError} when the request is refused
   */
  async execute(request: FrontendRequest, fds: Fd[], replyFds: Fd[]): Promise<unknown> {
    const { description, device } = this.#options;
    switch (request.name) {
      case 'VHOST_USER_GET_FEATURES':
        return this.#offered;
      case 'VHOST_USER_SET_FEATURES':
        return this.#setFeatures(request.payload);
      case 'VHOST_USER_GET_PROTOCOL_FEATURES':
        return this.#protocolOffered;
      case 'VHOST_USER_SET_PROTOCOL_FEATURES':
        return this.#setProtocolFeatures(request.payload);
      case 'VHOST_USER_SET_OWNER':
        return undefined;
      case 'VHOST_USER_RESET_OWNER':
        // Ignoring it or disabling all rings are what the specification leaves of it.
        return this.#rings.setEnableAll(false);
      case 'VHOST_USER_RESET_DEVICE':
        return this.#resetDevice();
      case 'VHOST_USER_GET_QUEUE_NUM':
        return BigInt(description.queueMaxSizes.length);
      case 'VHOST_USER_SET_MEM_TABLE':
        this.#checkXenMmap(request.payload);
        return this.memory.setTable(request.payload, fds, this.#rings);
      case 'VHOST_USER_GET_MAX_MEM_SLOTS':
        return BigInt(MAX_MEM_SLOTS);
      case 'VHOST_USER_ADD_MEM_REG':
        this.#checkXenMmap([request.payload]);
        return this.memory.add(request.payload, fds[0] as Fd, this.#rings);
      case 'VHOST_USER_REM_MEM_REG':
        return this.memory.remove(request.payload, this.#rings);
      case 'VHOST_USER_SET_VRING_NUM':
        return this.#rings.setNum(request.payload.index, request.payload.num);
      case 'VHOST_USER_SET_VRING_ADDR':
        return this.#rings.setAddr(request.payload);
      case 'VHOST_USER_SET_VRING_BASE':
        return this.#rings.setBase(request.payload.index, request.payload.num);
      case 'VHOST_USER_GET_VRING_BASE': {
        const { index } = request.payload;
        return { index, num: await this.#rings.getBase(index) };
      }
      case 'VHOST_USER_SET_VRING_KICK':
      case 'VHOST_USER_SET_VRING_CALL':
      case 'VHOST_USER_SET_VRING_ERR':
        return this.#setRingFd(FD_KINDS[request.name], request.payload, fds);
      case 'VHOST_USER_SET_VRING_ENABLE':
        return this.#rings.setEnable(request.payload.index, request.payload.num === 1);
      case 'VHOST_USER_GET_CONFIG':
        return this.#getConfig(request.payload);
      case 'VHOST_USER_SET_CONFIG':
        // Flags tell driver and migration apart, with different values in different front-ends.
        this.#checkConfig(request.payload.offset, request.payload.data.length);
        return device.writeConfig(request.payload.offset, request.payload.data);
      case 'VHOST_USER_SET_BACKEND_REQ_FD':
        return this.#setChannel(fds.shift() as Fd);
      case 'VHOST_USER_GET_INFLIGHT_FD': {
        const queues = description.queueMaxSizes.length;
        const made = this.#makeInflight(request.payload, queues);
        if (made.fd !== undefined) replyFds.push(made.fd);
        return made.area;
      }
      case 'VHOST_USER_SET_INFLIGHT_FD':
        return this.#setInflight(request.payload, fds[0] as Fd);
      case 'VHOST_USER_GET_STATUS':
        return this.#status;
      case 'VHOST_USER_SET_STATUS':
        return this.#setStatus(request.payload);
      default:
        throw new VhostUserBackendError(
          'UNSUPPORTED',
          `Cannot serve ${request.name}: this back-end does not offer it`,
          { request: request.name },
        );
    }
  }

  /** An area without bytes says that there is none, and front-ends go on without it. */
  #makeInflight(
    wanted: AreaDescription,
    queues: number,
  ): { readonly fd?: Fd; readonly area: AreaDescription } {
    try {
      return InflightArea.make(wanted, this.#rings.features, queues);
    } catch (error) {
      if (!SysError.is(error)) throw error;
      const { logger } = this.#options;
      logger.warn({ err: error }, `no area for requests in flight: ${error.message}`);
      return { area: { ...wanted, mmapSize: 0n, mmapOffset: 0n } };
    }
  }

  /**
   * @throws {VhostUserBackendError} INVALID_STATE for a record that the device's state is not of: the
   * front-end must have the device reset, and begin another
   */
  async #setInflight(wanted: AreaDescription, fd: Fd): Promise<void> {
    const { description, files, state } = this.#options;
    const area = InflightArea.map(wanted, this.#rings.features, fd, files.guard);
    const bytes = area.bytesOf(description.queueMaxSizes.length);
    if (state.fresh && isBegun(fd, wanted.mmapOffset, bytes)) {
      area.close();
      throw new VhostUserBackendError(
        'INVALID_STATE',
        'Cannot go on with the requests in flight: the state that the device had then is not in its ' +
          'state file, which is new or was removed; the driver must reset the device',
      );
    }
    await this.#rings.setInflight(area);
  }

  /** The device changed its configuration space. */
  configChanged(): void {
    this.#channel?.configChanged();
  }

  /** The connection has ended: the device is reset and everything released. */
  async close(): Promise<void> {
    const { device, nextGeneration } = this.#options;
    this.#channel?.close();
    await device.release(nextGeneration());
    this.#rings.forget();
    await this.memory.unmapAll();
  }

  async #setFeatures(features: bigint): Promise<void> {
    const excess = features & ~this.#offered;
    if (excess !== 0n) throw refuse(`features ${hex(excess)} were not offered`);
    await this.#options.device.negotiated(features & ~PROTOCOL_FEATURES_BIT);
    await this.#rings.setFeatures(features, RING_FEATURES);
    // A front-end that does not know protocol features does not know SET_VRING_ENABLE either.
    if ((features & PROTOCOL_FEATURES_BIT) === 0n) await this.#rings.setEnableAll(true);
  }

  /** QEMU accepts every bit that it has a number for: what was not offered is as if it were not there. */
  #setProtocolFeatures(features: bigint): void {
    const excess = features & ~this.#protocolOffered;
    if (excess !== 0n && !this.#excessLogged) {
      this.#excessLogged = true;
      const { logger } = this.#options;
      logger.warn({ excess: hex(excess) }, 'accepted protocol features ignored: not offered');
    }
    this.#protocolFeatures = features & this.#protocolOffered;
  }

  #checkXenMmap(regions: readonly MemoryRegion[]): void {
    if (regions.every(({ xen }) => xen === undefined)) return;
    const negotiated = this.#protocolFeatures ?? 0n;
    if (hasProtocolFeature(negotiated, 'VHOST_USER_PROTOCOL_F_XEN_MMAP')) return;
    throw refuse('its memory regions have Xen fields, but XEN_MMAP was not negotiated');
  }

  async #setRingFd(kind: RingFdKind, { index }: VringFd, fds: Fd[]): Promise<void> {
    const fd = fds.shift();
    const event = fd === undefined ? undefined : takeEventFd(fd, kind);
    await this.#rings.setFd(index, kind, event);
    if (kind === 'kick') this.#options.state.used();
  }

  async #getConfig({ offset, flags, data }: ConfigWindow): Promise<ConfigWindow> {
    try {
      this.#checkConfig(offset, data.length);
      const bytes = await this.#options.device.readConfig(offset, data.length);
      return { offset, flags, data: bytes };
    } catch (error) {
      if (!VhostUserBackendError.is(error) || error.code !== 'INVALID_REQUEST') throw error;
      this.#options.logger.warn({ err: error }, 'configuration space not read');
      // How the specification wants it said.
      return { offset, flags, data: new Uint8Array(0) };
    }
  }

  #checkConfig(offset: number, length: number): void {
    const { configSize } = this.#options.description;
    if (offset + length <= configSize) return;
    throw refuse(
      `bytes ${offset}..${offset + length} are not within its configuration space of ${configSize}`,
    );
  }

  #setChannel(fd: Fd): void {
    const { poller, logger } = this.#options;
    const channel = new BackendChannel(fd, poller, logger);
    this.#channel?.close();
    this.#channel = channel;
  }

  async #setStatus(value: bigint): Promise<void> {
    if (value > 0xffn) throw refuse(`device status ${hex(value)} exceeds 8 bits`);
    if (value === 0n) await this.#resetDevice();
    this.#status = value;
  }

  async #resetDevice(): Promise<void> {
    await this.#options.device.reset();
    this.#rings.forget();
    this.#status = 0n;
  }
}

function refuse(why: string): VhostUserBackendError {
  return new VhostUserBackendError('INVALID_REQUEST', `Cannot use the device: ${why}`);
}
