import { type HostedGuest, type IoreqRequest, LateValue } from '@node-vmm/ioreq-eventfd';
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
      let held: Held | undefined;
      let value: bigint;
      try {
        const result = server.run(request);
        held = result?.held;
        value = result?.value ?? allOnes(request.size);
      } catch {
        refuse();
        return;
      }
      if (held === undefined) answer(value);
      else whenHeld(held, value, answer);
    };
    const ready = server.notReady(request);
    if (ready === undefined) run();
    else whenOver(ready, run, refuse);
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
