import type { Logger } from '@node-vmm/vmm-sys-util';

/**
 * What a driver (or the device behind the transport) did that the specification forbids. All of it
 * is answered and counted; the first of each kind and register is logged.
 */
export interface TransportCounters {
  /** Accesses below 0x100 that are not aligned and 4 bytes wide; config accesses of odd sizes. */
  badWidth: number;
  /** Accesses where no register is. */
  unknownRegister: number;
  /** Writes to read-only registers. */
  readOnly: number;
  /** Reads of write-only registers. */
  writeOnly: number;
  /** Status bits cleared, set out of order or not defined; writes while a reset is under way. */
  badStatus: number;
  /** Feature sets refused, features written after FEATURES_OK. */
  badFeatures: number;
  /** Queues that do not exist, bad sizes and addresses, changes of a queue in use. */
  badQueue: number;
  /** Notifications of queues that are not running. */
  badNotify: number;
  /** Notifications of a device that was not set up since it was made or reset: its driver is lost. */
  notSetUp: number;
  /** Config space accesses that the device refused. */
  badConfig: number;
  /** Errors thrown by the device or the interrupt callback. */
  deviceErrors: number;
}

export type Fault = keyof TransportCounters;

/** Ours: the names of all counters. */
export const TRANSPORT_COUNTERS: readonly Fault[] = [
  'badWidth',
  'unknownRegister',
  'readOnly',
  'writeOnly',
  'badStatus',
  'badFeatures',
  'badQueue',
  'badNotify',
  'notSetUp',
  'badConfig',
  'deviceErrors',
];

/** Counts faults and logs each kind once. */
export class FaultLog {
  readonly counters: TransportCounters;
  readonly #logger: Logger;
  // Bounded: subjects are register names and operations, never values that the guest chooses.
  readonly #logged = new Set<string>();

  /** @param counters - counted there; default: an object of its own */
  constructor(logger: Logger, counters?: TransportCounters) {
    this.#logger = logger;
    const zeros = TRANSPORT_COUNTERS.map((name) => [name, 0]);
    this.counters = counters ?? (Object.fromEntries(zeros) as unknown as TransportCounters);
  }

  /**
   * @param subject - register or operation; from a fixed set
   * @param detail - logged with it
   */
  report(fault: Fault, subject: string, detail: object = {}): void {
    this.counters[fault]++;
    const key = `${fault} ${subject}`;
    if (this.#logged.has(key)) return;
    this.#logged.add(key);
    this.#logger.warn({ fault, subject, ...detail }, 'virtio-mmio: rule broken, logged once');
  }
}
