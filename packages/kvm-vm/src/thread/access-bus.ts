import {
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IoreqPage,
  type IoreqRequest,
  STATE_IORESP_READY,
} from '@node-vmm/ioreq-eventfd/page';
import type { KvmVcpu, VcpuBus } from '@node-vmm/kvm-sys';
import { asFd, EventFd } from '@node-vmm/vmm-sys-util';
import type { AccessChannel } from './thread-data.ts';

const LOW = 0xffff_ffffn;

/**
 * Has the accesses of a vCPU served by another thread: posts each in the vCPU's slot of the ioreq page, and waits
 * until it is answered or the vCPU is to stop. Only this vCPU waits.
 */
export class AccessBus implements VcpuBus {
  readonly #vcpu: KvmVcpu;
  readonly #page: IoreqPage;
  readonly #turns: Int32Array;
  readonly #wake: EventFd;
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
    this.#page = new IoreqPage(channel.page, channel.vcpus);
    this.#turns = new Int32Array(channel.turns);
    // The machine's own, which outlives the thread: never closed here.
    this.#wake = EventFd.fromFd(asFd(channel.wakeFd));
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
    this.#wake.signal();
    for (;;) {
      const turn = Atomics.load(this.#turns, id);
      if (this.#page.state(id) === STATE_IORESP_READY) return true;
      // In this order: whoever stops it changes the word afterwards.
      if (this.#vcpu.stopRequested) return false;
      Atomics.wait(this.#turns, id, turn);
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
