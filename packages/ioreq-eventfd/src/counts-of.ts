import type { HeldTimes } from '@node-vmm/vm-device';
import type { AccessSeat } from './access-host.ts';
import type { IoreqCounters } from './ioreq-dispatcher.ts';

/** For a dispatcher that goes on after a seat whose host is gone: its counts, none of which goes back. */
export function countsOf(seat: AccessSeat | undefined): {
  readonly counters?: IoreqCounters;
  readonly heldTimes?: HeldTimes;
} {
  if (seat === undefined) return {};
  const { counters, heldTimes } = seat;
  // What it held is taken anew.
  heldTimes.abandon();
  return { counters, heldTimes };
}
