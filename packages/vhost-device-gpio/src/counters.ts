/** What one device counted since it was made; read by metrics, never reset. */
export interface GpioCounters {
  /** Requests of the requestq that were returned, whatever the answer. */
  requests: number;
  /** Of these, answered VIRTIO_GPIO_STATUS_ERR or not answerable. */
  errors: number;
  /** Chains of both queues that have not the form of VIRTIO 1.3 §5.18.6 and §5.18.7. */
  malformed: number;
  /** Operations that the host failed. */
  hostErrors: number;
  /** Event buffers that were taken. */
  unmasks: number;
  /** Event buffers that were returned without an interrupt. */
  invalid: number;
  /** Of these, for a line that had one already. */
  duplicates: number;
}

/** Counters at zero. */
export function newCounters(): GpioCounters {
  return {
    requests: 0,
    errors: 0,
    malformed: 0,
    hostErrors: 0,
    unmasks: 0,
    invalid: 0,
    duplicates: 0,
  };
}

/** What became of the interrupts of one line. */
export interface LineCounters {
  /** Event buffers returned with an interrupt. */
  readonly delivered: number;
  /** Edges that had to wait for the driver; each is delivered later, or dropped. */
  readonly latched: number;
  /** Edges that came while one waited already, and are one interrupt with it. */
  readonly coalesced: number;
  /** Edges that waited when the driver disabled the interrupt. */
  readonly dropped: number;
}

/** The counters of all lines, each 32 bits, which wrap. */
export class InterruptCounters {
  readonly #delivered: Uint32Array;
  readonly #latched: Uint32Array;
  readonly #coalesced: Uint32Array;
  readonly #dropped: Uint32Array;

  constructor(lines: number) {
    this.#delivered = new Uint32Array(lines);
    this.#latched = new Uint32Array(lines);
    this.#coalesced = new Uint32Array(lines);
    this.#dropped = new Uint32Array(lines);
  }

  delivered(line: number): void {
    this.#delivered[line] = (this.#delivered[line] ?? 0) + 1;
  }

  latched(line: number): void {
    this.#latched[line] = (this.#latched[line] ?? 0) + 1;
  }

  coalesced(line: number): void {
    this.#coalesced[line] = (this.#coalesced[line] ?? 0) + 1;
  }

  dropped(line: number): void {
    this.#dropped[line] = (this.#dropped[line] ?? 0) + 1;
  }

  of(line: number): LineCounters {
    return {
      delivered: this.#delivered[line] ?? 0,
      latched: this.#latched[line] ?? 0,
      coalesced: this.#coalesced[line] ?? 0,
      dropped: this.#dropped[line] ?? 0,
    };
  }
}
