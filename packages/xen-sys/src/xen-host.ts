import type { Fd, Mapping } from '@node-vmm/vmm-sys-util';
import { DeviceModel, type DeviceModelOps } from './device-model.ts';
import { type EventChannelOps, EventChannels } from './event-channels.ts';
import type { ForeignMapper } from './foreign-memory.ts';
import { hvmParam } from './hvm-param.ts';
import type { DomId, IoServId } from './ids.ts';
import { mapIoreqPage } from './ioreq-page.ts';
import { KernelNotification, type KernelNotifier } from './kernel-notification.ts';
import { maximumGpfn, maximumReservation } from './memory-op.ts';
import { Privcmd } from './privcmd.ts';
import { type XenVersion, xenVersion } from './version.ts';

/** All of Xen that a device model needs, in one place: the real one or the fake of `./testing`. */
export interface XenOps extends Disposable {
  /** Through which device model operations go: for a thread that is to make some. Stays this object's. */
  readonly fd: Fd;
  readonly memory: ForeignMapper;
  readonly notifier: KernelNotifier;
  deviceModel(domid: DomId): DeviceModelOps;
  /** @throws {XenSysError} TOO_MANY_VCPUS, NOT_FOUND ... */
  mapIoreqPage(domid: DomId, id: IoServId, vcpus: number): Mapping;
  /** A descriptor of its own each time. @throws {XenSysError} NO_EVTCHN, NOT_PERMITTED */
  openEventChannels(): EventChannelOps;
  /** @throws {XenSysError} NO_SUCH_DOMAIN, NOT_PERMITTED */
  maximumGpfn(domid: DomId): bigint;
  /** Pages that it may have. @throws {XenSysError} NO_SUCH_DOMAIN, NOT_PERMITTED */
  maximumReservation(domid: DomId): bigint;
  /** @throws {XenSysError} NO_SUCH_DOMAIN, INVALID, NOT_PERMITTED */
  hvmParam(domid: DomId, index: number): bigint;
  version(): XenVersion;
  /** Idempotent. Mappings and event channels stay. */
  close(): void;
}

/** What {@link XenHost} is made of. */
export interface XenHostComponents {
  /** Becomes the host's. */
  readonly privcmd: Privcmd;
  readonly openEventChannels: () => EventChannelOps;
  /** Default: by the kernel, as the kind of this domain permits. */
  readonly notifier?: KernelNotifier;
}

/** Xen through the Linux drivers. */
export class XenHost implements XenOps {
  readonly privcmd: Privcmd;
  readonly notifier: KernelNotifier;
  readonly #openEventChannels: () => EventChannelOps;

  constructor(components: XenHostComponents) {
    this.privcmd = components.privcmd;
    this.notifier = components.notifier ?? new KernelNotification(components.privcmd.device);
    this.#openEventChannels = components.openEventChannels;
  }

  /** @throws {XenSysError} NO_PRIVCMD, NOT_PERMITTED */
  static open(): XenHost {
    return new XenHost({
      privcmd: Privcmd.open(),
      openEventChannels: () => EventChannels.open(),
    });
  }

  get fd(): Fd {
    return this.privcmd.fd;
  }

  get memory(): ForeignMapper {
    return this.privcmd.memory;
  }

  deviceModel(domid: DomId): DeviceModelOps {
    return new DeviceModel(this.privcmd, domid);
  }

  mapIoreqPage(domid: DomId, id: IoServId, vcpus: number): Mapping {
    return mapIoreqPage(this.privcmd, domid, id, vcpus);
  }

  openEventChannels(): EventChannelOps {
    return this.#openEventChannels();
  }

  maximumGpfn(domid: DomId): bigint {
    return maximumGpfn(this.privcmd, domid);
  }

  maximumReservation(domid: DomId): bigint {
    return maximumReservation(this.privcmd, domid);
  }

  hvmParam(domid: DomId, index: number): bigint {
    return hvmParam(this.privcmd, domid, index);
  }

  version(): XenVersion {
    return xenVersion(this.privcmd);
  }

  close(): void {
    this.privcmd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
