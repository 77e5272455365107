import {
  AccessRequest,
  emptyRequest,
  IoreqDispatcher,
  IoreqPage,
  type IoreqRequest,
} from '@node-vmm/ioreq-eventfd';
import { Bus, type Buses, type BusHandler } from '@node-vmm/vm-device';
import { guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';

export const RAM = 0x4000_0000;
export const RAM_LENGTH = 0x2000;
export const WINDOW = 0x1000;
export const PORT = 0x600;
export const IORESP_READY = 3;

/** A dispatcher over a page in ordinary memory, with a window in memory and one of ports. */
export class Bench {
  readonly buffer = new ArrayBuffer(4096);
  readonly page: IoreqPage;
  readonly buses: Buses;
  readonly memory = GuestMemoryBuffer.create([
    { guestAddr: guestAddress(RAM), length: RAM_LENGTH },
  ]);
  readonly dispatcher: IoreqDispatcher;
  readonly notified: number[] = [];
  readonly accesses: string[] = [];
  invalidates = 0;
  value = 0x1122_3344_5566_7788n;
  held: Promise<void> | undefined;
  notifyFails = false;

  /** @param options - `ports`: false for a machine without them */
  constructor(options: { vcpus?: number; answerLimit?: number; ports?: boolean } = {}) {
    this.page = new IoreqPage(this.buffer, options.vcpus ?? 2);
    const handler = (prefix: string): BusHandler => ({
      read: (offset, size) => {
        this.accesses.push(`${prefix}r${offset}/${size}`);
        return this.value;
      },
      write: (offset, size, value) => {
        this.accesses.push(`${prefix}w${offset}/${size}=${value}`);
        return this.held;
      },
    });
    const memory = new Bus('memory');
    const port = new Bus('port');
    memory.map({ base: BigInt(WINDOW), length: 0x200 }, handler(''));
    port.map({ base: BigInt(PORT), length: 0x10 }, handler('port '));
    this.buses = options.ports === false ? { memory } : { memory, port };
    this.dispatcher = new IoreqDispatcher(
      {
        page: this.page,
        server: new AccessRequest(this.buses, () => this.memory),
        notify: (vcpu) => {
          this.notified.push(vcpu);
          if (this.notifyFails) throw new Error('the domain is gone');
        },
        invalidate: () => {
          this.invalidates++;
          return this.held;
        },
      },
      options.answerLimit === undefined ? {} : { answerLimit: options.answerLimit },
    );
  }

  /** Posts a request; fields not given are those of a 4-byte access to the window. */
  post(request: Partial<IoreqRequest>, vcpu = 0): void {
    this.page.submit(vcpu, {
      ...emptyRequest(),
      addrLow: WINDOW,
      count: 1,
      size: 4,
      type: 1,
      ...request,
    });
  }

  /** Posts, serves, and returns the answer's data; undefined when there is none yet. */
  ask(request: Partial<IoreqRequest>, vcpu = 0): bigint | undefined {
    this.post(request, vcpu);
    this.dispatcher.service(vcpu);
    return this.answer(vcpu);
  }

  answer(vcpu = 0): bigint | undefined {
    return this.page.state(vcpu) === IORESP_READY ? this.page.collect(vcpu) : undefined;
  }
}
