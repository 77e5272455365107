import type { EventFd, Fd } from '@node-vmm/vmm-sys-util';
import {
  E2BIG,
  EBUSY,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOSYS,
  ENOTTY,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
  type HostPointer,
  type IoctlRequest,
  type Mapping,
  type MemoryArg,
  viewOf,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import { HVMOP_get_param, XEN_HVM_PARAM } from '../abi/hvm.ts';
import {
  XEN_MEMORY_DOMAIN,
  XENMEM_maximum_gpfn,
  XENMEM_maximum_reservation,
  XENMEM_resource_ioreq_server,
} from '../abi/memory.ts';
import {
  PRIVCMD_DM_OP,
  PRIVCMD_DM_OP_BUF,
  PRIVCMD_DM_OP_BUF_MAX_SIZE,
  PRIVCMD_HYPERCALL,
  PRIVCMD_IOEVENTFD,
  PRIVCMD_IOEVENTFD_FLAG_DEASSIGN,
  PRIVCMD_IRQFD,
  PRIVCMD_IRQFD_FLAG_DEASSIGN,
  PRIVCMD_MMAP_RESOURCE,
  PRIVCMD_MMAPBATCH_V2,
} from '../abi/privcmd.ts';
import { XENVER_capabilities, XENVER_extraversion, XENVER_version } from '../abi/version.ts';
import {
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_xen_version,
  XEN_PAGE_SIZE,
} from '../abi/xen.ts';
import { asDomId, asIoServId } from '../ids.ts';
import { argument, FakeDevice, kernelError } from './fake-device.ts';
import { fakeDmOp } from './fake-dm-op.ts';
import { eventFdOf, type FakeDomain, type FakeIoreqServer } from './fake-domain.ts';
import { FakeThreadLink } from './fake-thread.ts';
import type { FakeXen } from './fake-xen.ts';

interface Irqfd {
  readonly domain: FakeDomain;
  readonly dmOp: Uint8Array;
  readonly eventfd: EventFd;
  readonly number: number;
  readonly watch: Watch | undefined;
}

/** The bytes at an address that an argument of an ioctl names. */
function memoryAt(pointer: bigint, length: number): ArrayBuffer {
  // SAFETY: the caller of the ioctl owns the memory for the time of the call, as with the kernel.
  return viewOf(pointer as HostPointer, length);
}

/** /dev/xen/privcmd and the hypervisor behind it, as far as this package uses them. */
export class FakePrivcmd extends FakeDevice {
  /** Where other threads may have the descriptor. */
  readonly link: FakeThreadLink | undefined;
  readonly #xen: FakeXen;
  readonly #irqfds: Irqfd[] = [];
  /** Whose ioreq page a mapping shows. */
  readonly #pages = new WeakMap<Mapping, FakeIoreqServer>();
  #restricted: number | undefined;

  constructor(xen: FakeXen) {
    super();
    this.#xen = xen;
    this.link = xen.threads
      ? new FakeThreadLink(xen.poller, (call) => {
          if (call.call === 'dmOp') this.#doDmOp(call.domid, call.bytes);
        })
      : undefined;
  }

  override get fd(): Fd {
    return this.link?.fd ?? super.fd;
  }

  #doDmOp(domid: number, bytes: string): void {
    const domain = this.#xen.domains.get(asDomId(domid));
    if (domain === undefined) return;
    try {
      fakeDmOp(this.#xen, domain, Uint8Array.from(Buffer.from(bytes, 'hex')));
    } catch {
      // The thread does not hear of it.
    }
  }

  protected control(request: IoctlRequest, arg: MemoryArg): number {
    this.#xen.maybeFail(request.name);
    switch (request.name) {
      case 'IOCTL_PRIVCMD_HYPERCALL':
        return this.#hypercall(arg);
      case 'IOCTL_PRIVCMD_DM_OP':
        return this.#dmOp(arg);
      case 'IOCTL_PRIVCMD_MMAP_RESOURCE':
        return this.#mapResource(arg);
      case 'IOCTL_PRIVCMD_MMAPBATCH_V2':
        return this.#mapBatch(arg);
      case 'IOCTL_PRIVCMD_RESTRICT':
        return this.#restrict(arg);
      case 'IOCTL_PRIVCMD_IRQFD':
        return this.#irqfd(arg);
      case 'IOCTL_PRIVCMD_IOEVENTFD':
        return this.#ioeventfd(arg);
      default:
        throw kernelError(request.name, ENOTTY);
    }
  }

  #domain(syscall: string, domid: number): FakeDomain {
    if (this.#restricted !== undefined && this.#restricted !== domid) {
      throw kernelError(syscall, EPERM);
    }
    const domain = this.#xen.domains.get(asDomId(domid));
    if (domain === undefined) throw kernelError(syscall, ESRCH);
    return domain;
  }

  #hypercall(arg: MemoryArg): number {
    const name = 'IOCTL_PRIVCMD_HYPERCALL';
    if (this.#restricted !== undefined) throw kernelError(name, EPERM);
    const { op, arg0, arg1 } = PRIVCMD_HYPERCALL.decode(argument(arg));
    if (op === BigInt(__HYPERVISOR_xen_version)) return this.#version(Number(arg0), arg1);
    if (op === BigInt(__HYPERVISOR_memory_op)) {
      const bytes = new Uint8Array(memoryAt(arg1, XEN_MEMORY_DOMAIN.SIZE));
      const domain = this.#domain(name, XEN_MEMORY_DOMAIN.decode(bytes).domid);
      if (arg0 === BigInt(XENMEM_maximum_gpfn)) return Number(domain.maximumGpfn);
      if (arg0 === BigInt(XENMEM_maximum_reservation)) {
        this.#xen.maybeFail('XENMEM_maximum_reservation');
        return Number(domain.maximumReservation);
      }
    }
    if (op === BigInt(__HYPERVISOR_hvm_op) && arg0 === BigInt(HVMOP_get_param)) {
      const view = new DataView(memoryAt(arg1, XEN_HVM_PARAM.SIZE));
      const { domid, index } = XEN_HVM_PARAM.read(view);
      const value = this.#domain(name, domid).hvmParams.get(index);
      if (value === undefined) throw kernelError(name, EINVAL);
      XEN_HVM_PARAM.set(view, 0, 'value', value);
      return 0;
    }
    throw kernelError(name, ENOSYS);
  }

  #version(command: number, pointer: bigint): number {
    const reply = (text: string): number => {
      new Uint8Array(memoryAt(pointer, text.length + 1)).set(new TextEncoder().encode(`${text}\0`));
      return 0;
    };
    const arch = this.#xen.arch === 'arm64' ? 'aarch64' : 'x86_64';
    switch (command) {
      case XENVER_version:
        return (4 << 16) | 20;
      case XENVER_extraversion:
        return reply('.0-fake');
      case XENVER_capabilities:
        return reply(`xen-3.0-${arch} `);
      default:
        throw kernelError('IOCTL_PRIVCMD_HYPERCALL', ENOSYS);
    }
  }

  #dmOp(arg: MemoryArg): number {
    const name = 'IOCTL_PRIVCMD_DM_OP';
    const { dom, num, ubufs } = PRIVCMD_DM_OP.decode(argument(arg));
    const table = new DataView(memoryAt(ubufs, num * PRIVCMD_DM_OP_BUF.SIZE));
    const { uptr, size } = PRIVCMD_DM_OP_BUF.read(table);
    if (size > BigInt(PRIVCMD_DM_OP_BUF_MAX_SIZE)) throw kernelError(name, E2BIG);
    const domain = this.#domain(name, dom);
    fakeDmOp(this.#xen, domain, new Uint8Array(memoryAt(uptr, Number(size))));
    return 0;
  }

  #mapResource(arg: MemoryArg): number {
    const name = 'IOCTL_PRIVCMD_MMAP_RESOURCE';
    const request = PRIVCMD_MMAP_RESOURCE.decode(argument(arg));
    const domain = this.#domain(name, request.dom);
    if (request.type !== XENMEM_resource_ioreq_server) throw kernelError(name, EOPNOTSUPP);
    const server = domain.servers.get(asIoServId(request.id));
    if (server === undefined) throw kernelError(name, ENOENT);
    const place = this.locate(request.addr);
    // Frame 0 is that of buffered ioreqs, which no fake server has.
    if (place === undefined || request.idx !== 1 || request.num !== 1n) {
      throw kernelError(name, EINVAL);
    }
    place.mapping.overlay(place.offset, { length: XEN_PAGE_SIZE, fd: server.pageFd });
    this.#pages.set(place.mapping, server);
    return 0;
  }

  #mapBatch(arg: MemoryArg): number {
    const name = 'IOCTL_PRIVCMD_MMAPBATCH_V2';
    const request = PRIVCMD_MMAPBATCH_V2.decode(argument(arg));
    if (this.#restricted !== undefined && this.#restricted !== request.dom) {
      throw kernelError(name, EPERM);
    }
    const place = this.locate(request.addr);
    if (place === undefined || request.num === 0) throw kernelError(name, EINVAL);
    const gfns = new BigUint64Array(memoryAt(request.arr, request.num * 8));
    const errors = new Int32Array(memoryAt(request.err, request.num * 4)).fill(0);
    const domain = this.#xen.domains.get(asDomId(request.dom));
    for (const [i, gfn] of gfns.entries()) {
      errors[i] = domain === undefined ? -ESRCH : this.#mapFrame(domain, gfn, place, i);
    }
    if (errors.includes(-ENOENT)) throw kernelError(name, ENOENT);
    return 0;
  }

  #mapFrame(
    domain: FakeDomain,
    gfn: bigint,
    place: NonNullable<ReturnType<FakeDevice['locate']>>,
    index: number,
  ): number {
    const away = domain.pagedOut.get(gfn) ?? 0;
    if (away > 0) {
      domain.pagedOut.set(gfn, away - 1);
      return -ENOENT;
    }
    const frame = domain.frame(gfn);
    if (frame === undefined) return -EINVAL;
    place.mapping.overlay(place.offset + index * XEN_PAGE_SIZE, {
      length: XEN_PAGE_SIZE,
      fd: frame.fd,
      offset: frame.offset,
    });
    return 0;
  }

  #restrict(arg: MemoryArg): number {
    const [domid] = new Uint16Array(argument(arg).slice().buffer);
    if (this.#restricted !== undefined && this.#restricted !== domid) {
      throw kernelError('IOCTL_PRIVCMD_RESTRICT', EINVAL);
    }
    this.#restricted = domid;
    return 0;
  }

  #irqfd(arg: MemoryArg): number {
    const name = 'IOCTL_PRIVCMD_IRQFD';
    const request = PRIVCMD_IRQFD.decode(argument(arg));
    if (!this.#xen.kernelEventfds) throw kernelError(name, EOPNOTSUPP);
    const known = this.#irqfds.findIndex(({ number }) => number === request.fd);
    if ((request.flags & PRIVCMD_IRQFD_FLAG_DEASSIGN) !== 0) {
      if (known >= 0) closeIrqfd(this.#irqfds.splice(known, 1));
      return 0;
    }
    if (known >= 0) throw kernelError(name, EBUSY);
    const domain = this.#domain(name, request.dom);
    const dmOp = new Uint8Array(memoryAt(request.dm_op, request.size)).slice();
    const eventfd = eventFdOf(request.fd);
    const watch = this.#xen.poller?.watch(eventfd.fd, { readable: true }, () => this.runIrqfds());
    this.#irqfds.push({ domain, dmOp, eventfd, number: request.fd, watch });
    return 0;
  }

  /** Injects the interrupts of irqfds that were signalled; a poller does it by itself. */
  runIrqfds(): void {
    for (const { domain, dmOp, eventfd } of this.#irqfds) {
      if (!eventfd.drain()) continue;
      try {
        fakeDmOp(this.#xen, domain, dmOp);
      } catch {
        // As the kernel does: it logs the refusal and goes on.
      }
    }
  }

  #ioeventfd(arg: MemoryArg): number {
    const name = 'IOCTL_PRIVCMD_IOEVENTFD';
    const request = PRIVCMD_IOEVENTFD.decode(argument(arg));
    if (!this.#xen.kernelEventfds) throw kernelError(name, EOPNOTSUPP);
    const domain = this.#domain(name, request.dom);
    if (![1, 2, 4, 8].includes(request.addr_len) || request.vcpus !== domain.vcpus) {
      throw kernelError(name, EINVAL);
    }
    const page = this.locate(request.ioreq)?.mapping;
    if (page === undefined) throw kernelError(name, EINVAL);
    const server = this.#pages.get(page);
    if (server === undefined || domain.servers.get(server.id) !== server) {
      throw kernelError(name, ENODEV);
    }
    const matches = (entry: (typeof server.ioeventfds)[number]): boolean =>
      entry.base === request.addr && entry.vq === request.vq;
    const known = server.ioeventfds.findIndex(matches);
    if ((request.flags & PRIVCMD_IOEVENTFD_FLAG_DEASSIGN) !== 0) {
      if (known < 0) throw kernelError(name, ENODEV);
      server.ioeventfds.splice(known, 1)[0]?.eventfd.close();
      return 0;
    }
    if (known >= 0) throw kernelError(name, EBUSY);
    server.ioeventfds.push({
      base: request.addr,
      length: request.addr_len,
      vq: request.vq,
      eventfd: eventFdOf(request.event_fd),
    });
    return 0;
  }

  override close(): void {
    super.close();
    this.link?.close();
    closeIrqfd(this.#irqfds.splice(0));
  }
}

function closeIrqfd(entries: readonly Irqfd[]): void {
  for (const { watch, eventfd } of entries) {
    watch?.close();
    eventfd.close();
  }
}
