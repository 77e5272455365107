import type { AddressRange } from '@node-vmm/vm-device';
import type { Mapping } from '@node-vmm/vmm-sys-util';
import {
  asIoServId,
  type DeviceModelOps,
  type DomId,
  type IoRange,
  type IoServId,
  type XenOps,
} from '@node-vmm/xen-sys';
import { hasOtherServers } from './xen-other-servers.ts';
import type { KeptXenVm } from './xen-vm-options.ts';

/** An IOREQ server of a domain, with its page. */
export class IoreqServer {
  readonly id: IoServId;
  readonly vcpus: number;
  /** Of its page; whoever serves it closes it. */
  readonly mapping: Mapping;
  readonly #model: DeviceModelOps;
  readonly #takenUp: boolean;

  /**
   * Creates a server, disabled, or finds one that is there.
   *
   * @throws {XenSysError} whatever Xen says; nothing is left of a new one, and nothing done to an old one
   * @throws {RangeError} when the domain is not the one whose server was kept
   */
  static open(
    xen: XenOps,
    model: DeviceModelOps,
    domid: DomId,
    takeUp: KeptXenVm | undefined,
  ): IoreqServer {
    const vcpus = model.nrVcpus();
    if (takeUp !== undefined && takeUp.vcpus !== vcpus) {
      throw new RangeError(`it has ${vcpus} vCPUs, and had ${takeUp.vcpus}`);
    }
    const id = takeUp === undefined ? model.createIoreqServer() : asIoServId(takeUp.server);
    try {
      const mapping = xen.mapIoreqPage(domid, id, vcpus);
      return new IoreqServer(model, { id, vcpus, mapping, takenUp: takeUp !== undefined });
    } catch (error) {
      if (takeUp === undefined) model.destroyIoreqServer(id);
      throw error;
    }
  }

  private constructor(
    model: DeviceModelOps,
    parts: {
      readonly id: IoServId;
      readonly vcpus: number;
      readonly mapping: Mapping;
      readonly takenUp: boolean;
    },
  ) {
    this.#model = model;
    this.id = parts.id;
    this.vcpus = parts.vcpus;
    this.mapping = parts.mapping;
    this.#takenUp = parts.takenUp;
  }

  /** Whether the domain has others besides it. @throws {XenSysError} NO_SUCH_DOMAIN */
  get hasOthers(): boolean {
    return hasOtherServers(this.#model, this.id);
  }

  /** Accesses within the range are its from now on. @throws {XenSysError} */
  map(range: AddressRange): void {
    this.#model.mapIoRangeToIoreqServer(this.id, ioRange(range));
  }

  /** @throws {XenSysError} */
  unmap(range: AddressRange): void {
    this.#model.unmapIoRangeFromIoreqServer(this.id, ioRange(range));
  }

  /** @throws {XenSysError} */
  enable(on: boolean): void {
    this.#model.setIoreqServerState(this.id, on);
  }

  /** @throws {XenSysError} */
  destroy(): void {
    this.#model.destroyIoreqServer(this.id);
  }

  /** Nobody will serve it: leaves all as it was found. @throws {XenSysError} */
  abandon(): void {
    this.mapping.close();
    if (!this.#takenUp) this.destroy();
  }
}

function ioRange({ space, base, length }: AddressRange): IoRange {
  const type = space === 'port' ? 'port' : 'memory';
  return { type, start: base, end: base + BigInt(length) - 1n };
}
