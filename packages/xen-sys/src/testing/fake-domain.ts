import {
  asFd,
  closeFd,
  dupFd,
  EventFd,
  type Fd,
  hex,
  Mapping,
  memfdCreate,
} from '@node-vmm/vmm-sys-util';
import { GUEST_RAM0_BASE } from '../abi/arch-arm.ts';
import { HVM_PARAM_NR_IOREQ_SERVER_PAGES, HVM_PARAM_STORE_PFN } from '../abi/hvm.ts';
import {
  IOREQ,
  IOREQ_BITS_DIR,
  IOREQ_BITS_STATE_MASK,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_INVALIDATE,
  IOREQS_PER_PAGE,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
} from '../abi/ioreq.ts';
import { XEN_PAGE_SIZE } from '../abi/xen.ts';
import type { IoRange } from '../device-model.ts';
import type { DomId, IoServId } from '../ids.ts';
import { FakeInterrupts, type FakeIrq } from './fake-interrupts.ts';
import type { PeerPort } from './fake-ports.ts';

/** A bank of RAM of a fake domain. */
export interface FakeBank {
  /** Guest physical address, page-aligned. */
  readonly base: bigint;
  /** Bytes, whole pages. */
  readonly length: number;
}

/** Options of a fake domain. */
export interface FakeDomainOptions {
  /** Default 1. */
  readonly vcpus?: number;
  /** Default: 16 MiB at the address where Arm guests have RAM. */
  readonly banks?: readonly FakeBank[];
}

/** An access that a guest makes. */
export interface FakeAccessOptions {
  readonly address: bigint;
  /** Bytes. */
  readonly size: number;
  /** The value written; absent for a read. */
  readonly value?: bigint;
  /** Default 0. */
  readonly vcpu?: number;
  /** `IOREQ_TYPE_*`, default `IOREQ_TYPE_COPY`. */
  readonly type?: number;
}

/** A guest's access under way: the vCPU stands still until it is answered. */
export interface FakeAccess {
  readonly done: boolean;
  /** What was read; all ones when nobody answered for the address. */
  readonly value: bigint;
  readonly completed: Promise<bigint>;
}

interface Bank extends FakeBank {
  readonly fd: Fd;
  readonly mapping: Mapping;
}

/** A queue's notification that the fake kernel turns into a signal. */
export interface FakeIoeventfd {
  readonly base: bigint;
  readonly length: number;
  readonly vq: number;
  readonly eventfd: EventFd;
}

/** An IOREQ server of a fake domain. */
export class FakeIoreqServer {
  readonly id: IoServId;
  readonly pageFd: Fd;
  readonly page: DataView;
  readonly ranges: IoRange[] = [];
  readonly ports: PeerPort[];
  readonly ioeventfds: FakeIoeventfd[] = [];
  enabled = false;
  readonly #mapping: Mapping;

  constructor(id: IoServId, ports: PeerPort[]) {
    this.id = id;
    this.ports = ports;
    this.pageFd = memfdCreate('fake-ioreq-page', XEN_PAGE_SIZE);
    this.#mapping = Mapping.create({ length: XEN_PAGE_SIZE, fd: this.pageFd });
    this.page = new DataView(this.#mapping.buffer());
    for (const [vcpu, port] of ports.slice(0, IOREQS_PER_PAGE).entries()) {
      IOREQ.set(this.page, vcpu * IOREQ.SIZE, 'vp_eport', port.number);
    }
  }

  /** The kernel takes a request, unless a thread of the device model was faster. */
  take(vcpu: number): boolean {
    return this.#change(vcpu, STATE_IOREQ_READY, STATE_IOREQ_INPROCESS);
  }

  /** It is none of the kernel's. */
  putBack(vcpu: number): void {
    this.#change(vcpu, STATE_IOREQ_INPROCESS, STATE_IOREQ_READY);
  }

  #change(vcpu: number, from: number, to: number): boolean {
    const at = vcpu * IOREQ.SIZE + IOREQ.OFFSETS.bits;
    const bytes = new Uint8Array(this.page.buffer);
    const bits = Atomics.load(bytes, at);
    if ((bits & IOREQ_BITS_STATE_MASK) !== from) return false;
    const changed = (bits & ~IOREQ_BITS_STATE_MASK) | to;
    return Atomics.compareExchange(bytes, at, bits, changed) === bits;
  }

  close(): void {
    for (const port of this.ports) port.close();
    for (const { eventfd } of this.ioeventfds.splice(0)) eventfd.close();
    closeFd(this.pageFd);
    this.#mapping.close();
  }
}

/** `LIBXL_MAXMEM_CONSTANT`: what libxl lets a guest have over its memory. */
const TOOLSTACK_PAGES = 256n;

/** `IOCTL_PRIVCMD_IOEVENTFD` compares with the offset of QueueNotify. */
const QUEUE_NOTIFY = 0x50n;

/** A guest: RAM in memfds, vCPUs that make accesses when told to, interrupt lines that are logged. */
export class FakeDomain {
  readonly domid: DomId;
  readonly vcpus: number;
  readonly servers = new Map<IoServId, FakeIoreqServer>();
  /** Every interrupt operation, in order. */
  readonly irqs: FakeIrq[] = [];
  /** What the guest's CPU sees of them. */
  readonly interrupts = new FakeInterrupts();
  /** What `HVMOP_get_param` tells, by index. */
  readonly hvmParams = new Map<number, bigint>([
    [HVM_PARAM_STORE_PFN, 0xf_effcn],
    [HVM_PARAM_NR_IOREQ_SERVER_PAGES, 8n],
  ]);
  /** Called at every interrupt operation. */
  onIrq: ((irq: FakeIrq) => void) | undefined;
  /** Frames that are paged out, with how many attempts at mapping fail before they are back. */
  readonly pagedOut = new Map<bigint, number>();
  readonly #banks: Bank[];
  readonly #busy = new Set<number>();
  readonly #ballooned = new Set<bigint>();

  constructor(domid: DomId, options: FakeDomainOptions = {}) {
    this.domid = domid;
    this.vcpus = options.vcpus ?? 1;
    const banks = options.banks ?? [{ base: GUEST_RAM0_BASE, length: 16 * 1024 * 1024 }];
    this.#banks = banks.map((bank) => {
      const fd = memfdCreate(`fake-ram-${domid}`, bank.length);
      return { ...bank, fd, mapping: Mapping.create({ length: bank.length, fd }) };
    });
  }

  /** Highest frame of RAM. */
  get maximumGpfn(): bigint {
    let end = 1n;
    for (const bank of this.#banks) {
      const bankEnd = bank.base + BigInt(bank.length);
      if (bankEnd > end) end = bankEnd;
    }
    return (end - 1n) / BigInt(XEN_PAGE_SIZE);
  }

  /** Pages that it may have: its RAM at first, and what the toolstack adds. */
  get maximumReservation(): bigint {
    let bytes = 0n;
    for (const bank of this.#banks) bytes += BigInt(bank.length);
    return bytes / BigInt(XEN_PAGE_SIZE) + TOOLSTACK_PAGES;
  }

  /** The guest gives frames back (ballooning), or takes them again. Mappings of them stay what they were. */
  balloon(first: bigint, count: number, out: boolean): void {
    for (let i = 0n; i < BigInt(count); i++) {
      if (out) this.#ballooned.add(first + i);
      else this.#ballooned.delete(first + i);
    }
  }

  /** The guest's own view of its RAM. @throws {RangeError} outside */
  ram(address: bigint, length: number): Uint8Array<ArrayBuffer> {
    for (const bank of this.#banks) {
      const offset = Number(address - bank.base);
      if (offset >= 0 && offset + length <= bank.length) {
        return new Uint8Array(bank.mapping.buffer(offset, length));
      }
    }
    throw new RangeError(`no RAM at ${hex(address)}`);
  }

  /** Where a frame is; undefined when the guest does not have it. */
  frame(gfn: bigint): { fd: Fd; offset: number } | undefined {
    if (this.#ballooned.has(gfn)) return undefined;
    const address = gfn * BigInt(XEN_PAGE_SIZE);
    for (const bank of this.#banks) {
      const offset = address - bank.base;
      if (offset >= 0n && offset < BigInt(bank.length)) {
        return { fd: bank.fd, offset: Number(offset) };
      }
    }
    return undefined;
  }

  /**
   * A vCPU makes an access: it reaches the enabled IOREQ server that claims the address.
   *
   * @throws {Error} when that vCPU's last access is not answered yet
   */
  access(options: FakeAccessOptions): FakeAccess {
    const { address, size, value, vcpu = 0, type = IOREQ_TYPE_COPY } = options;
    if (this.#busy.has(vcpu)) throw new Error(`vCPU ${vcpu} waits for its last access`);
    const allOnes = (1n << BigInt(size * 8)) - 1n;
    const server = this.#serverOf(address, size, type);
    if (server === undefined) return finished(allOnes);
    const base = vcpu * IOREQ.SIZE;
    const { page } = server;
    IOREQ.write(page, base, { addr: address, data: value ?? 0n, count: 1, size, type });
    const direction = value === undefined ? IOREQ_BITS_DIR : 0;
    page.setUint8(base + IOREQ.OFFSETS.bits, STATE_IOREQ_READY | direction);
    const access = new PendingAccess();
    this.#busy.add(vcpu);
    const port = server.ports[vcpu] as PeerPort;
    const answered = (): void => {
      const bits = page.getUint8(base + IOREQ.OFFSETS.bits);
      if ((bits & IOREQ_BITS_STATE_MASK) !== STATE_IORESP_READY) return;
      page.setUint8(base + IOREQ.OFFSETS.bits, STATE_IOREQ_NONE);
      port.onNotify = undefined;
      port.onDeliver = undefined;
      this.#busy.delete(vcpu);
      access.finish(IOREQ.getBig(page, base, 'data') & allOnes);
    };
    port.onNotify = answered;
    if (value !== undefined) {
      port.onDeliver = () => {
        if (!server.take(vcpu)) return;
        if (!signalIoeventfd(server, address, size, value)) {
          server.putBack(vcpu);
          return;
        }
        page.setUint8(base + IOREQ.OFFSETS.bits, STATE_IORESP_READY);
        answered();
      };
    }
    port.signal();
    return access;
  }

  #serverOf(address: bigint, size: number, type: number): FakeIoreqServer | undefined {
    // Xen sends those to all servers; a guest here has one that cares.
    const everywhere = type === IOREQ_TYPE_INVALIDATE;
    const wanted = type === IOREQ_TYPE_COPY ? 'memory' : 'port';
    const last = address + BigInt(size - 1);
    // From the highest id down, as Xen's FOR_EACH_IOREQ_SERVER: that is mostly the newest server.
    const servers = [...this.servers.values()].sort((a, b) => b.id - a.id);
    for (const server of servers) {
      const hit = server.ranges.some(
        (range) => range.type === wanted && address >= range.start && last <= range.end,
      );
      if (server.enabled && (hit || everywhere)) return server;
    }
    return undefined;
  }

  /** Sets a line; what the device model operations and irqfds do. */
  interrupt(irq: FakeIrq): void {
    this.irqs.push(irq);
    this.interrupts.set(irq);
    this.onIrq?.(irq);
  }

  close(): void {
    for (const server of this.servers.values()) server.close();
    this.servers.clear();
    for (const bank of this.#banks) {
      bank.mapping.close();
      closeFd(bank.fd);
    }
  }
}

class PendingAccess implements FakeAccess {
  done = false;
  value = 0n;
  readonly completed: Promise<bigint>;
  #resolve: (value: bigint) => void = () => undefined;

  constructor() {
    this.completed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  finish(value: bigint): void {
    this.done = true;
    this.value = value;
    this.#resolve(value);
  }
}

function finished(value: bigint): FakeAccess {
  return { done: true, value, completed: Promise.resolve(value) };
}

function signalIoeventfd(
  server: FakeIoreqServer,
  address: bigint,
  size: number,
  value: bigint,
): boolean {
  const match = server.ioeventfds.find(
    (entry) =>
      address === entry.base + QUEUE_NOTIFY &&
      size === entry.length &&
      (value & 0xffffn) === BigInt(entry.vq),
  );
  match?.eventfd.signal();
  return match !== undefined;
}

/** A second owner of an eventfd that an ioctl names by number. */
export function eventFdOf(fd: number): EventFd {
  return EventFd.fromFd(dupFd(asFd(fd)));
}
