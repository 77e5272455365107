import { fstatSync } from 'node:fs';
import {
  asFd,
  EINVAL,
  ENOENT,
  type Fd,
  type HostPointer,
  PAGE_SIZE,
  viewOf,
} from '@node-vmm/vmm-sys-util';
import { type MapOver, type MappingCall, RecordedMappings } from '@node-vmm/vmm-sys-util/testing';
import { IOCTL_PRIVCMD_MMAPBATCH_V2, PRIVCMD_MMAPBATCH_V2 } from '@node-vmm/xen-sys';

/** Addresses that are mapped. */
interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * The driver privcmd for tests, over real mappings of a file that is a domain's memory, and what may be done with
 * such mappings: none is ever unmapped, overlaid or protected in part, filled twice, or known to the handler of
 * SIGBUS. What breaks a rule is kept in `violations`.
 */
export class ForeignKernel implements Disposable {
  readonly violations: string[] = [];
  /** Guest frames that the domain does not have. */
  readonly missing = new Set<bigint>();
  /** Guest frames that are paged out, and for how many calls more. */
  readonly pagedOut = new Map<bigint, number>();
  /** How many mappings were made, and how many went as a whole. */
  readonly counts = { made: 0, unmapped: 0, overlaid: 0 };
  readonly #file: string;
  readonly #firstFrame: bigint;
  readonly #frames: bigint;
  /** Mappings of the file, and whether the driver has filled them. */
  readonly #live = new Map<bigint, Range & { filled: boolean }>();
  #recorded: RecordedMappings | undefined;

  private constructor(fd: Fd, firstFrame: bigint, frames: bigint) {
    this.#file = identityOf(fd);
    this.#firstFrame = firstFrame;
    this.#frames = frames;
  }

  /**
   * @param fd - the domain's memory, and what its descriptors of privcmd are duplicates of
   * @param first - guest physical address of its first page
   */
  static async start(fd: Fd, first: bigint, size: number): Promise<ForeignKernel> {
    const page = BigInt(PAGE_SIZE);
    const kernel = new ForeignKernel(fd, first / page, BigInt(size) / page);
    kernel.#recorded = await RecordedMappings.start({
      onCall: (call, at) => kernel.#onCall(call, at),
      onIoctl: (file, request, arg, mapOver) => kernel.#onIoctl(file, request, arg, mapOver),
    });
    return kernel;
  }

  /** Mappings of the domain that are there. */
  get live(): number {
    return this.#live.size;
  }

  /** Ranges that the handler of SIGBUS has been given, and has. */
  get guarded(): number {
    return this.#recorded?.guarded.size ?? 0;
  }

  #isForeign(fd: number): boolean {
    return fd >= 0 && identityOf(asFd(fd)) === this.#file;
  }

  #onCall({ call, start, length, fixed, fd }: MappingCall, at: bigint | undefined): void {
    if (call === 'mmap' && at === undefined) return;
    const from = at ?? start;
    const end = from + BigInt(length);
    if (call !== 'mmap' || fixed) this.#replace(call, from, end);
    if (call === 'mmap' && this.#isForeign(fd)) {
      this.counts.made++;
      this.#live.set(from, { start: from, end, filled: false });
    }
    this.#checkGuarded();
  }

  #replace(call: MappingCall['call'], from: bigint, end: bigint): void {
    for (const range of [...this.#live.values()]) {
      if (range.end <= from || range.start >= end) continue;
      const whole = from <= range.start && range.end <= end;
      if (!whole || call === 'mprotect') {
        const what = `[${hexOf(from)}, ${hexOf(end)})`;
        this.violations.push(`${call} ${what} of ${hexOf(range.start)}..${hexOf(range.end)}`);
      }
      if (call === 'mprotect') continue;
      this.#live.delete(range.start);
      if (call === 'munmap') this.counts.unmapped++;
      else this.counts.overlaid++;
    }
  }

  #checkGuarded(): void {
    for (const { start, length } of this.#recorded?.guarded.values() ?? []) {
      for (const range of this.#live.values()) {
        if (range.end <= start || range.start >= start + BigInt(length)) continue;
        this.violations.push(`the handler of SIGBUS knows ${hexOf(range.start)}`);
      }
    }
  }

  #onIoctl(fd: number, request: number, arg: bigint, mapOver: MapOver): number | undefined {
    if (request !== IOCTL_PRIVCMD_MMAPBATCH_V2.number || !this.#isForeign(fd)) return undefined;
    const batch = new DataView(viewOf(arg as HostPointer, PRIVCMD_MMAPBATCH_V2.SIZE));
    const { num, addr, arr, err } = PRIVCMD_MMAPBATCH_V2.read(batch);
    const range = this.#live.get(addr);
    const length = BigInt(num * PAGE_SIZE);
    if (range === undefined || range.filled || range.end !== addr + length) {
      this.violations.push(
        `${num} pages mapped at ${hexOf(addr)}, which is no fresh mapping of so many`,
      );
      return -EINVAL;
    }
    range.filled = true;
    // SAFETY: the caller of the ioctl owns both for the time of the call.
    const frames = new BigUint64Array(viewOf(arr as HostPointer, num * 8));
    const errors = new Int32Array(viewOf(err as HostPointer, num * 4));
    for (let i = 0; i < num; i++) errors[i] = this.#errorOf(frames[i] as bigint);
    for (let i = 0; i < num; ) {
      let run = 1;
      while (i + run < num && errors[i + run] === errors[i] && follows(frames, i, run)) run++;
      if (errors[i] === 0) {
        const offset = Number((frames[i] as bigint) - this.#firstFrame) * PAGE_SIZE;
        mapOver(addr + BigInt(i * PAGE_SIZE), run * PAGE_SIZE, fd, offset);
      }
      i += run;
    }
    return errors.includes(-ENOENT) ? -ENOENT : 0;
  }

  #errorOf(frame: bigint): number {
    const away = this.pagedOut.get(frame) ?? 0;
    if (away > 0) {
      this.pagedOut.set(frame, away - 1);
      return -ENOENT;
    }
    const index = frame - this.#firstFrame;
    return index < 0n || index >= this.#frames || this.missing.has(frame) ? -EINVAL : 0;
  }

  [Symbol.dispose](): void {
    this.#recorded?.[Symbol.dispose]();
  }
}

function follows(frames: BigUint64Array, first: number, run: number): boolean {
  return frames[first + run] === (frames[first] as bigint) + BigInt(run);
}

function identityOf(fd: Fd): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

function hexOf(value: bigint): string {
  return `0x${value.toString(16)}`;
}
