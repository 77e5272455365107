import { checkInteger, checkU64, type EventFd, hex, U32_MAX } from '@node-vmm/vmm-sys-util';
import {
  KVM_IOEVENTFD,
  KVM_IOEVENTFD_ARG,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IRQFD,
  KVM_IRQFD_ARG,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_IRQFD_FLAG_RESAMPLE,
} from './abi/vm.ts';
import type { Assignment, Assignments } from './assignments.ts';
import type { KvmDevice } from './device.ts';
import { naming } from './errors.ts';

/** Writes of the guest that the kernel shall turn into signals of an eventfd. */
export interface IoeventfdOptions {
  readonly space: 'memory' | 'port';
  readonly address: bigint;
  /** Bytes that are written; 0 for any number, without `datamatch`. */
  readonly length: 0 | 1 | 2 | 4 | 8;
  /** The value that has to be written; other values leave the guest as usual. Default: any. */
  readonly datamatch?: bigint;
  /** Stays the caller's, and open until the assignment is closed. */
  readonly eventfd: EventFd;
}

/** An eventfd whose signals the kernel shall turn into an interrupt. */
export interface IrqfdOptions {
  /** Number of the interrupt, as the routing has it. */
  readonly gsi: number;
  /** Stays the caller's, and open until the assignment is closed. */
  readonly eventfd: EventFd;
  /**
   * For an interrupt that is a level: signals raise it, the guest's acknowledgement lowers it and signals
   * this one. Without it signals are edges.
   */
  readonly resample?: EventFd;
}

/** `KVM_IOEVENTFD` and `KVM_IRQFD` of one VM. */
export class KvmNotification {
  readonly #device: KvmDevice;
  readonly #assignments: Assignments;

  constructor(device: KvmDevice, assignments: Assignments) {
    this.#device = device;
    this.#assignments = assignments;
  }

  /** @throws {KvmSysError} IN_USE when the address, length and value are assigned, EXHAUSTED, INVALID */
  ioeventfd(options: IoeventfdOptions): Assignment {
    const { space, address, length, datamatch, eventfd } = options;
    const assign =
      (space === 'port' ? KVM_IOEVENTFD_FLAG_PIO : 0) |
      (datamatch === undefined ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH);
    const encode = (flags: number): Uint8Array =>
      KVM_IOEVENTFD_ARG.encode({
        datamatch: checkU64('datamatch', datamatch ?? 0n),
        addr: checkU64('address', address),
        len: length,
        fd: eventfd.fd,
        flags,
      });
    const what = `an ioeventfd at ${space} ${hex(address)}`;
    return this.#assign(
      KVM_IOEVENTFD,
      what,
      encode(assign),
      encode(assign | KVM_IOEVENTFD_FLAG_DEASSIGN),
    );
  }

  /** @throws {KvmSysError} IN_USE when the eventfd is assigned, INVALID without an interrupt controller */
  irqfd(options: IrqfdOptions): Assignment {
    const { gsi, eventfd, resample } = options;
    checkInteger('gsi', gsi, 0, U32_MAX);
    const assign = KVM_IRQFD_ARG.encode({
      fd: eventfd.fd,
      gsi,
      ...(resample === undefined
        ? {}
        : { flags: KVM_IRQFD_FLAG_RESAMPLE, resamplefd: resample.fd }),
    });
    const deassign = KVM_IRQFD_ARG.encode({ fd: eventfd.fd, gsi, flags: KVM_IRQFD_FLAG_DEASSIGN });
    return this.#assign(KVM_IRQFD, `an irqfd of interrupt ${gsi}`, assign, deassign);
  }

  #assign(
    request: typeof KVM_IOEVENTFD,
    what: string,
    assign: Uint8Array,
    deassign: Uint8Array,
  ): Assignment {
    naming(`assign ${what}`, () => this.#device.ioctl(request, assign));
    return this.#assignments.add(() => {
      naming(`take back ${what}`, () => this.#device.ioctl(request, deassign));
    });
  }
}
