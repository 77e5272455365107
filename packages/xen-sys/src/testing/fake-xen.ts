import type { Poller } from '@node-vmm/vmm-sys-util';
import { EventChannels } from '../event-channels.ts';
import { HypercallBuffers } from '../hypercall-buffers.ts';
import { asDomId, type DomId } from '../ids.ts';
import { KernelNotification } from '../kernel-notification.ts';
import { Privcmd } from '../privcmd.ts';
import { XenHost } from '../xen-host.ts';
import { kernelError } from './fake-device.ts';
import { FakeDomain, type FakeDomainOptions } from './fake-domain.ts';
import { FakeEvtchn } from './fake-evtchn.ts';
import { FakePorts } from './fake-ports.ts';
import { FakePrivcmd } from './fake-privcmd.ts';

/** Options of a fake hypervisor. */
export interface FakeXenOptions {
  /** Which interrupt operations exist; default "arm64". */
  readonly arch?: 'arm64' | 'x86_64';
  /** Whether the kernel has ioeventfds and irqfds; default true. */
  readonly kernelEventfds?: boolean;
  /** Kind of the domain we are in; default "HVM", as Arm's dom0 says. */
  readonly guestType?: string;
  /** Watches the eventfds of irqfds; without it call `runIrqfds`. */
  readonly poller?: Poller;
  /** Descriptors of devices work on other threads, too (`FakeThreadDevice`); default false. */
  readonly threads?: boolean;
}

interface Fault {
  readonly errno: number;
  times: number;
}

/**
 * A hypervisor and the Linux drivers in front of it, in memory. It is emulated at the system call
 * boundary: what works on it is the real code of this package, struct layouts included.
 */
export class FakeXen implements Disposable {
  readonly arch: 'arm64' | 'x86_64';
  readonly kernelEventfds: boolean;
  readonly poller: Poller | undefined;
  readonly threads: boolean;
  readonly domains = new Map<DomId, FakeDomain>();
  readonly ports = new FakePorts();
  readonly privcmd: FakePrivcmd;
  /** Every event channel device that was opened. */
  readonly eventDevices: FakeEvtchn[] = [];
  readonly #guestType: string;
  readonly #faults = new Map<string, Fault>();

  constructor(options: FakeXenOptions = {}) {
    this.arch = options.arch ?? 'arm64';
    this.kernelEventfds = options.kernelEventfds ?? true;
    this.#guestType = options.guestType ?? 'HVM';
    this.poller = options.poller;
    this.threads = options.threads ?? false;
    this.privcmd = new FakePrivcmd(this);
  }

  /** @throws {Error} when there is a domain of that id */
  addDomain(domid: number, options: FakeDomainOptions = {}): FakeDomain {
    const id = asDomId(domid);
    if (this.domains.has(id)) throw new Error(`domain ${domid} exists`);
    const domain = new FakeDomain(id, options);
    this.domains.set(id, domain);
    return domain;
  }

  /** Everything about the domain fails from now on; mappings stay. */
  destroyDomain(domid: DomId): void {
    this.domains.get(domid)?.close();
    this.domains.delete(domid);
  }

  /** This package's classes on top of the fake drivers. */
  host(): XenHost {
    return new XenHost({
      privcmd: new Privcmd(this.privcmd, { buffers: new HypercallBuffers(() => undefined) }),
      openEventChannels: () => {
        this.maybeFail('open evtchn');
        const device = new FakeEvtchn(this);
        this.eventDevices.push(device);
        return new EventChannels(device);
      },
      notifier: new KernelNotification(this.privcmd, this.#guestType),
    });
  }

  /**
   * Makes an operation fail.
   *
   * @param operation - name of an ioctl (`IOCTL_PRIVCMD_DM_OP`), of a device model operation
   * (`XEN_DMOP_nr_vcpus`), `read` (of event channels) or `open evtchn`
   * @param times - how often, default once
   */
  failNext(operation: string, errno: number, times = 1): void {
    this.#faults.set(operation, { errno, times });
  }

  /** For the fake devices. @throws {SysError} when a fault is due */
  maybeFail(operation: string): void {
    const fault = this.#faults.get(operation);
    if (fault === undefined) return;
    fault.times--;
    if (fault.times <= 0) this.#faults.delete(operation);
    throw kernelError(operation, fault.errno);
  }

  /** Does what other threads had devices do, where no poller sees to it or its thread blocks. */
  pump(): void {
    for (const device of [...this.eventDevices, this.privcmd]) device.link?.pump();
  }

  /** Injects the interrupts of irqfds that were signalled, where no poller does it. */
  runIrqfds(): void {
    this.privcmd.runIrqfds();
  }

  close(): void {
    for (const domid of [...this.domains.keys()]) this.destroyDomain(domid);
    this.privcmd.close();
    for (const device of this.eventDevices) device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
