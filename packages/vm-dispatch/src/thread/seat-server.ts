import {
  AccessRequest,
  type AccessResult,
  type AccessServer,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  type IoreqRequest,
  type LateValue,
} from '@node-vmm/ioreq-eventfd';
import type { Bus, Buses, Held } from '@node-vmm/vm-device';
import { TWO_32 } from '@node-vmm/vmm-sys-util';
import { SeatWindow } from './seat-window.ts';

/** Carries out a guest's requests: those of devices here, the others by the main thread. */
export class SeatServer implements AccessServer {
  readonly #buses: Buses;
  readonly #local: AccessRequest;
  readonly #forward: (request: IoreqRequest) => LateValue;
  readonly #forwarded: AccessResult = { value: 0n, held: undefined, malformed: false };

  /** @param forward - has the main thread carry a request out */
  constructor(buses: Buses, forward: (request: IoreqRequest) => LateValue) {
    this.#buses = buses;
    this.#forward = forward;
    this.#local = new AccessRequest(buses, () => {
      throw new Error('Guest memory is not here');
    });
  }

  notReady(request: IoreqRequest): Held | undefined {
    return this.#local.notReady(request);
  }

  run(request: IoreqRequest): AccessResult | undefined {
    const bus = this.#busOf(request);
    if (bus === undefined) return this.#local.run(request);
    const handler = bus.handlerOf(request.addrHigh * TWO_32 + request.addrLow, request.size);
    const window = handler instanceof SeatWindow ? handler : undefined;
    const here = window === undefined || window.transport !== undefined;
    const single = request.count === 1 && !request.dataIsPtr;
    // A single write may be an eventfd's, which the bus knows.
    if (single && (here || !request.isRead)) return this.#local.run(request);
    // The main thread has guest memory and no registers: what needs both nobody can do.
    if (window?.transport !== undefined && !request.dataIsPtr) return this.#local.run(request);
    const result = this.#forwarded;
    result.held = this.#forward(request);
    return result;
  }

  #busOf({ type }: IoreqRequest): Bus | undefined {
    if (type === IOREQ_TYPE_COPY) return this.#buses.memory;
    return type === IOREQ_TYPE_PIO ? this.#buses.port : undefined;
  }
}
