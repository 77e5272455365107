import { HELD_BOUNDS, type HeldAccesses } from '@node-vmm/vm-device';
import type { GuestActivity, GuestCounters } from './guest-counters.ts';
import type { BridgeTotals, DeviceTotals } from './status.ts';
import { deviceByName } from './supported-devices.ts';

/** Ours: stands for the types that have no name, so that there is a bounded number. */
const OTHER = 'other';

/** Counts a type's devices. */
export interface DeviceTally {
  /** A back-end came in the place of one that was lost, or that had to be left to reset it. */
  reconnected(): void;
  /** A device failed to come up. */
  failed(): void;
  /**
   * A device has come.
   *
   * @param faults - what its driver did wrong
   * @returns to be called when it is gone, once
   */
  add(faults: () => object): () => void;
}

/**
 * What a bridge has counted since it was made, of what is there and of what has gone: in one place, and
 * read when somebody asks. Nothing is added up by guest, of which there are ever new ones.
 */
export class BridgeCounters {
  readonly #guests = new Set<() => GuestActivity>();
  readonly #devices = new Map<string, TypeTally>();
  #counters: Partial<GuestCounters> = {};
  #held = noneHeld();

  /** A guest was attached to. @returns to be called before it is detached from, once */
  addGuest(activity: () => GuestActivity): () => void {
    this.#guests.add(activity);
    return () => {
      if (!this.#guests.delete(activity)) return;
      const { counters, held } = activity();
      this.#counters = sum(this.#counters, counters);
      // What is held now ends with it.
      if (held !== undefined) this.#held = addHeld(this.#held, { ...held, now: 0 });
    };
  }

  /** The devices of a type. @param type - its name */
  devicesOf(type: string): DeviceTally {
    const name = deviceByName(type) === undefined ? OTHER : type;
    let tally = this.#devices.get(name);
    if (tally === undefined) {
      tally = new TypeTally();
      this.#devices.set(name, tally);
    }
    return tally;
  }

  /** As plain data. */
  get totals(): BridgeTotals {
    let counters = this.#counters;
    let held = this.#held;
    for (const activity of this.#guests) {
      const now = activity();
      counters = sum(counters, now.counters);
      if (now.held !== undefined) held = addHeld(held, now.held);
    }
    const devices = [...this.#devices].map(([name, tally]) => [name, tally.totals] as const);
    return { counters, held, devices: Object.fromEntries(devices) };
  }
}

class TypeTally implements DeviceTally {
  #reconnects = 0;
  #failures = 0;
  #faults: Readonly<Record<string, number>> = {};
  readonly #live = new Set<() => object>();

  reconnected(): void {
    this.#reconnects++;
  }

  failed(): void {
    this.#failures++;
  }

  add(faults: () => object): () => void {
    this.#live.add(faults);
    return () => {
      if (this.#live.delete(faults)) this.#faults = sum(this.#faults, faults());
    };
  }

  get totals(): DeviceTotals {
    let faults = this.#faults;
    for (const live of this.#live) faults = sum(faults, live());
    return { reconnects: this.#reconnects, failures: this.#failures, faults };
  }
}

/** Adds up what both have, by name. */
function sum(a: object, b: object): Readonly<Record<string, number>> {
  const total: Record<string, number> = { ...a };
  for (const [name, value] of Object.entries(b)) {
    if (typeof value === 'number') total[name] = (total[name] ?? 0) + value;
  }
  return total;
}

function noneHeld(): HeldAccesses {
  const bounds = HELD_BOUNDS;
  return { now: 0, bounds, counts: new Array<number>(bounds.length + 1).fill(0), seconds: 0 };
}

function addHeld(a: HeldAccesses, b: HeldAccesses): HeldAccesses {
  return {
    now: a.now + b.now,
    bounds: a.bounds,
    counts: a.counts.map((count, i) => count + (b.counts[i] ?? 0)),
    seconds: a.seconds + b.seconds,
  };
}
