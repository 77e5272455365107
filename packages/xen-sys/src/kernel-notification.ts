import {
  addressOf,
  checkInteger,
  checkU64,
  type EventFd,
  hex,
  type Mapping,
} from '@node-vmm/vmm-sys-util';
import { IOREQS_PER_PAGE } from './abi/ioreq.ts';
import {
  IOCTL_PRIVCMD_IOEVENTFD,
  IOCTL_PRIVCMD_IRQFD,
  PRIVCMD_IOEVENTFD,
  PRIVCMD_IOEVENTFD_FLAG_DEASSIGN,
  PRIVCMD_IRQFD,
  PRIVCMD_IRQFD_FLAG_DEASSIGN,
} from './abi/privcmd.ts';
import type { XenDevice } from './device.ts';
import { wrapSysError, XenSysError } from './errors.ts';
import type { DomId, Port } from './ids.ts';
import { readGuestType } from './status.ts';

/** A queue's notifications that the kernel shall turn into signals of an eventfd. */
export interface KernelIoeventfd {
  readonly domid: DomId;
  /** The mapped ioreq page. Must stay mapped until the assignment is closed. */
  readonly page: Mapping;
  /** Local ports of all vCPUs, in the order of vCPUs; the same for all queues of a server. */
  readonly ports: readonly Port[];
  /** Base of the virtio-mmio window; the kernel adds 0x50, the offset of QueueNotify. */
  readonly base: bigint;
  /** Width of the write in bytes. */
  readonly length: 1 | 2 | 4 | 8;
  /** Queue number; the kernel compares the low 16 bits of the value. */
  readonly vq: number;
  readonly eventfd: EventFd;
}

/** An eventfd whose signals the kernel shall turn into a device model operation. */
export interface KernelIrqfd {
  readonly domid: DomId;
  /** From `encodeSetIrqLevel` or `encodeSetIsaIrqLevel`. */
  readonly dmOp: Uint8Array;
  readonly eventfd: EventFd;
}

/** Something the kernel does until closed. */
export interface Assignment extends Disposable {
  /** Idempotent. */
  close(): void;
}

/** Notification between guest and eventfds without this process running. */
export interface KernelNotifier {
  /**
   * The kernel leaves it to /dev/xen/evtchn to acknowledge the port: a signal of the eventfd makes
   * the port pending there as well, and nothing further comes through it until it is unmasked. So
   * `ports` must go on being served, beginning with the event that each of them has when bound.
   *
   * @throws {XenSysError} UNSUPPORTED when the kernel lacks CONFIG_XEN_PRIVCMD_EVENTFD or cannot do
   * it in this kind of domain, IN_USE when the eventfd is assigned already
   */
  ioeventfd(options: KernelIoeventfd): Assignment;
  /**
   * The kernel does not report operations that the hypervisor refuses: on x86 `set_irq_level` is
   * accepted here and fails at every signal.
   *
   * @throws {XenSysError} as {@link ioeventfd}
   */
  irqfd(options: KernelIrqfd): Assignment;
}

const NEEDS = 'the kernel needs CONFIG_XEN_PRIVCMD_EVENTFD, Linux 6.7 or newer';

/** `IOCTL_PRIVCMD_IOEVENTFD` and `IOCTL_PRIVCMD_IRQFD`. */
export class KernelNotification implements KernelNotifier {
  readonly #device: XenDevice;
  readonly #guestType: string | undefined;

  /**
   * @param device - /dev/xen/privcmd, stays the caller's
   * @param guestType - of this domain: "PV", "PVH", "HVM"; default what sysfs says
   */
  constructor(device: XenDevice, guestType: string | undefined = readGuestType()) {
    this.#device = device;
    this.#guestType = guestType;
  }

  ioeventfd(options: KernelIoeventfd): Assignment {
    const { domid, page, ports, base, length, vq, eventfd } = options;
    // In a PV domain the kernel takes a flag for a pointer and oopses (Linux 6.6 to 6.12 at least).
    if (this.#guestType === 'PV' || (this.#guestType === undefined && process.arch === 'x64')) {
      throw new XenSysError(
        'UNSUPPORTED',
        'Cannot assign an ioeventfd: the kernel cannot do it in a PV domain (boot a PVH dom0, or notify in user space)',
        { domid },
      );
    }
    checkInteger('ports.length', ports.length, 1, IOREQS_PER_PAGE);
    const portTable = Uint32Array.from(ports);
    const encode = (flags: number): Uint8Array =>
      PRIVCMD_IOEVENTFD.encode({
        ioreq: page.pointer,
        ports: addressOf(portTable),
        addr: checkU64('base', base),
        addr_len: length,
        event_fd: eventfd.fd,
        vcpus: ports.length,
        vq: checkInteger('vq', vq, 0, 0xffff),
        flags,
        dom: domid,
      });
    return this.#assign(
      `assign an ioeventfd at ${hex(base)}, queue ${vq}`,
      domid,
      () => this.#device.ioctl(IOCTL_PRIVCMD_IOEVENTFD, encode(0)),
      () => this.#device.ioctl(IOCTL_PRIVCMD_IOEVENTFD, encode(PRIVCMD_IOEVENTFD_FLAG_DEASSIGN)),
    );
  }

  irqfd(options: KernelIrqfd): Assignment {
    const { domid, dmOp, eventfd } = options;
    const encode = (flags: number): Uint8Array =>
      PRIVCMD_IRQFD.encode({
        dm_op: addressOf(dmOp),
        size: dmOp.length,
        fd: eventfd.fd,
        flags,
        dom: domid,
      });
    return this.#assign(
      'assign an irqfd',
      domid,
      () => this.#device.ioctl(IOCTL_PRIVCMD_IRQFD, encode(0)),
      () => this.#device.ioctl(IOCTL_PRIVCMD_IRQFD, encode(PRIVCMD_IRQFD_FLAG_DEASSIGN)),
    );
  }

  #assign(action: string, domid: DomId, assign: () => void, deassign: () => void): Assignment {
    const what = `${action} for domain ${domid}`;
    try {
      assign();
    } catch (error) {
      throw wrapSysError(error, what, { domid, hint: NEEDS });
    }
    let live = true;
    const close = (): void => {
      if (!live) return;
      live = false;
      try {
        deassign();
      } catch (error) {
        throw wrapSysError(error, `undo: ${what}`, { domid });
      }
    };
    return { close, [Symbol.dispose]: close };
  }
}
