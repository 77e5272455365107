import {
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IoreqPage,
  type IoreqRequest,
  STATE_IORESP_READY,
} from '@node-vmm/ioreq-eventfd/page';
import type { KvmVcpu, VcpuBus } from '@node-vmm/kvm-sys';
import { Epoll, EventFd, viewOf } from '@node-vmm/vmm-sys-util';
import type { AccessChannel } from './thread-data.ts';

const LOW = 0xffff_ffffn;
/** Ours: milliseconds after which a vCPU looks whether it is to stop: a process that exits has no time to tell. */
const LOOK_MS = 100;

/**
 * Has the accesses of a vCPU served by another thread: posts each in the vCPU's slot of the ioreq page, and waits
 * until it is answered or the vCPU is to stop. Only this vCPU waits.
 */
export class AccessBus implements VcpuBus {
  readonly #vcpu: KvmVcpu;
  readonly #page: IoreqPage;
  readonly #posted: EventFd;
  readonly #answered: EventFd;
  readonly #wait: Epoll;
  readonly #request: IoreqRequest = {
    addrLow: 0,
    addrHigh: 0,
    dataLow: 0,
    dataHigh: 0,
    count: 1,
    size: 0,
    type: IOREQ_TYPE_COPY,
    isRead: false,
    dataIsPtr: false,
    backwards: false,
  };

  constructor(vcpu: KvmVcpu, channel: AccessChannel) {
    this.#vcpu = vcpu;
    const { page, vcpus, requestFd, answerFd, waitFd } = channel;
    // SAFETY: the machine unmaps it when its threads have ended, see KvmMachine.
    this.#page = new IoreqPage(viewOf(page.address, page.length), vcpus);
    // The machine's own, which outlives the thread: never closed here.
    this.#posted = EventFd.fromFd(requestFd);
    this.#answered = EventFd.fromFd(answerFd);
    this.#wait = new Epoll(1, waitFd);
  }

  mmioRead(address: bigint, data: Uint8Array): void {
    this.#read(IOREQ_TYPE_COPY, address, data);
  }

  mmioWrite(address: bigint, data: Uint8Array): void {
    this.#write(IOREQ_TYPE_COPY, address, data);
  }

  portRead(port: number, data: Uint8Array): void {
    this.#read(IOREQ_TYPE_PIO, BigInt(port), data);
  }

  portWrite(port: number, data: Uint8Array): void {
    this.#write(IOREQ_TYPE_PIO, BigInt(port), data);
  }

  #read(type: number, address: bigint, data: Uint8Array): void {
    const request = this.#request;
    request.isRead = true;
    request.dataLow = 0;
    request.dataHigh = 0;
    // Who is not answered reads the ones that are there.
    if (!this.#ask(type, address, data.length)) return;
    let value = this.#page.collect(this.#vcpu.id);
    for (let i = 0; i < data.length; i++) {
      data[i] = Number(value & 0xffn);
      value >>= 8n;
    }
  }

  #write(type: number, address: bigint, data: Uint8Array): void {
    const request = this.#request;
    request.isRead = false;
    request.dataLow = word(data, 0);
    request.dataHigh = word(data, 4);
    if (this.#ask(type, address, data.length)) this.#page.collect(this.#vcpu.id);
  }

  /** @returns false when the vCPU is to stop before it was answered */
  #ask(type: number, address: bigint, size: number): boolean {
    const { id } = this.#vcpu;
    const request = this.#request;
    request.type = type;
    request.addrLow = Number(address & LOW);
    request.addrHigh = Number(address >> 32n);
    request.size = size;
    this.#page.submit(id, request);
    this.#posted.signal();
    for (;;) {
      if (this.#page.state(id) === STATE_IORESP_READY) return true;
      // In this order: whoever stops it signals afterwards.
      if (this.#vcpu.stopRequested) return false;
      if (this.#wait.wait(LOOK_MS) > 0) this.#answered.drain();
    }
  }
}

/** Up to four bytes from `at` on, little endian; zeros where there are none. */
function word(data: Uint8Array, at: number): number {
  let value = 0;
  for (let i = Math.min(data.length, at + 4) - 1; i >= at; i--) {
    value = value * 256 + (data[i] as number);
  }
  return value;
}
