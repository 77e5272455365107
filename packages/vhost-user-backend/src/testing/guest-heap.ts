/** Room of a guest's memory that is not in use, from `start` up to `end`. */
interface Gap {
  start: bigint;
  end: bigint;
}

const ALIGN = 16n;

/** Hands out parts of guest memory, the lowest that fits first. */
export class GuestHeap {
  #gaps: Gap[];

  /** @param start - guest address, 16-byte aligned */
  constructor(start: bigint, end: bigint) {
    this.#gaps = [{ start, end }];
  }

  /**
   * @param length - bytes; at least 16 are taken
   * @returns guest address, 16-byte aligned
   * @throws {RangeError} when there is no room
   */
  allocate(length: number): bigint {
    const size = roundUp(length);
    const gap = this.#gaps.find(({ start, end }) => end - start >= size);
    if (gap === undefined) {
      throw new RangeError(`Cannot allocate ${length} bytes: the guest has no such room left`);
    }
    const { start } = gap;
    gap.start += size;
    return start;
  }

  /** Takes back what `allocate` gave. */
  free(start: bigint, length: number): void {
    const end = start + roundUp(length);
    this.#gaps = [...this.#gaps, { start, end }]
      .sort((a, b) => (a.start < b.start ? -1 : 1))
      .reduce<Gap[]>((merged, gap) => {
        const last = merged.at(-1);
        if (last?.end === gap.start) last.end = gap.end;
        else if (gap.start < gap.end) merged.push(gap);
        return merged;
      }, []);
  }
}

function roundUp(length: number): bigint {
  const size = (BigInt(length) + ALIGN - 1n) & ~(ALIGN - 1n);
  return size === 0n ? ALIGN : size;
}
