import {
  type AccessResult,
  accessResult,
  type HostedGuest,
  type IoreqRequest,
  LateValue,
} from '@node-vmm/ioreq-eventfd';
import { allOnes, carryOut, type Held, whenOver } from '@node-vmm/vm-device';

/** What a guest's owner does, on the main thread, of its vCPUs' requests. Always answers, once. */
export class OwnerRequests {
  readonly #guest: HostedGuest;

  constructor(guest: HostedGuest) {
    this.#guest = guest;
  }

  /** As a dispatcher does it, for a handler of this thread. */
  access(request: IoreqRequest, answer: (value: bigint) => void): void {
    const { server } = this.#guest;
    const refuse = (): void => answer(allOnes(request.size));
    const run = (): void => {
      let result: AccessResult | undefined;
      try {
        result = server.run(request);
      } catch {
        refuse();
        return;
      }
      const { notReady, held, value } = result ?? {
        ...accessResult(),
        value: allOnes(request.size),
      };
      if (notReady !== undefined) whenOver(notReady, run, refuse);
      else if (held === undefined) answer(value);
      else whenHeld(held, value, answer);
    };
    run();
  }

  /** The dispatcher on the other thread has its limit, and counts. */
  invalidate(answer: (value: bigint) => void): void {
    const done = (): void => answer(0n);
    carryOut(() => this.#guest.invalidate?.(), done, done);
  }
}

function whenHeld(held: Held, value: bigint, answer: (value: bigint) => void): void {
  const done = (): void => answer(held instanceof LateValue ? held.value : value);
  whenOver(held, done, done);
}
