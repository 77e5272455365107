import {
  AccessRequest,
  type AccessResult,
  type AccessServer,
  accessResult,
  type IoreqRequest,
  type LateValue,
  windowOf,
} from '@node-vmm/ioreq-eventfd';
import type { Buses, BusHandler } from '@node-vmm/vm-device';
import { SeatWindow } from './seat-window.ts';

/** Carries out a guest's requests: those of devices here, the others by the main thread. */
export class SeatServer implements AccessServer {
  readonly #local: AccessRequest;
  readonly #forward: (request: IoreqRequest) => LateValue;
  readonly #forwarded = accessResult();

  /** @param forward - has the main thread carry a request out */
  constructor(buses: Buses, forward: (request: IoreqRequest) => LateValue) {
    this.#forward = forward;
    this.#local = new AccessRequest(buses, () => {
      throw new Error('Guest memory is not here');
    });
  }

  run(request: IoreqRequest): AccessResult | undefined {
    const bus = this.#local.busOf(request);
    if (bus === undefined) return undefined;
    const window = windowOf(bus, request);
    if (isHere(window?.handler, request)) return this.#local.runAt(bus, window, request);
    const result = this.#forwarded;
    result.notReady = window?.handler.ready;
    result.held = result.notReady === undefined ? this.#forward(request) : undefined;
    return result;
  }
}

/** Whether a request can be carried out without the main thread. */
function isHere(handler: BusHandler | undefined, request: IoreqRequest): boolean {
  const registers = handler instanceof SeatWindow && handler.transport !== undefined;
  // A single write may be an eventfd's, which the bus knows.
  if (request.count === 1 && !request.dataIsPtr) {
    return registers || handler === undefined || !request.isRead;
  }
  // The main thread has guest memory and no registers: what needs both nobody can do.
  return registers && !request.dataIsPtr;
}
