import { setImmediate } from 'node:timers/promises';
import {
  addressOf,
  checkInteger,
  checkU64,
  EACCES,
  ENOENT,
  EPERM,
  ESRCH,
  errorCode,
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_PRIVATE,
  Mapping,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '@node-vmm/vmm-sys-util';
import { IOCTL_PRIVCMD_MMAPBATCH_V2, PRIVCMD_MMAPBATCH_V2 } from './abi/privcmd.ts';
import { XEN_PAGE_SIZE } from './abi/xen.ts';
import type { XenDevice } from './device.ts';
import { codeOfErrno, wrapSysError, XenSysError } from './errors.ts';
import type { DomId } from './ids.ts';

/** A run of guest frames: `first`, `first + 1`, ... */
export interface GfnRange {
  /** Guest frame number: guest physical address / 4096. */
  readonly first: bigint;
  readonly count: number;
}

/** Guest frames in any order, or a run of them. */
export type Gfns = BigUint64Array | GfnRange;

/** Pages of another domain, one after the other in this process's address space. */
export interface ForeignMapping extends Disposable {
  /** Covers all frames asked for. Touching a page that failed is a SIGBUS: look at `errors` first. */
  readonly mapping: Mapping;
  /** Per frame: 0 when it is mapped, else the negative errno of Xen. */
  readonly errors: Int32Array;
  /** How many frames are not mapped. */
  readonly failed: number;
  /** Unmaps. Idempotent. */
  close(): void;
}

/** Maps memory of other domains. */
export interface ForeignMapper {
  /**
   * Maps guest frames. A frame that the guest does not have is no error of the call: it is told in
   * `errors`, page by page.
   *
   * @param prot - `PROT_READ`, or `PROT_READ | PROT_WRITE` (default)
   * @throws {XenSysError} NO_SUCH_DOMAIN, NOT_PERMITTED when no page can be mapped for that reason;
   * nothing stays mapped then
   * @throws {RangeError} when there are no frames, or over 2^32 of them
   */
  map(domid: DomId, gfns: Gfns, prot?: number): ForeignMapping;

  /**
   * As `map`, in chunks between which Node's event loop turns: mapping gigabytes takes a while, and
   * other guests must not wait for it.
   */
  mapAsync(domid: DomId, gfns: Gfns, prot?: number): Promise<ForeignMapping>;
}

/**
 * Frames per ioctl: small ones keep the event loop turning, but each is a VMA of its own and the
 * kernel allows 65,530 of those.
 */
export function foreignMapChunk(frames: number): number {
  return Math.min(Math.max(Math.ceil(frames / 64), 256), 8192);
}

/** How often frames that are paged out are tried again, and how long to wait before, in ms. */
const PAGED_OUT_ATTEMPTS = 10;
const PAGED_OUT_WAIT_MS = 1;

class OwnedForeignMapping implements ForeignMapping {
  readonly mapping: Mapping;
  readonly errors: Int32Array;
  readonly failed: number;

  constructor(mapping: Mapping, errors: Int32Array, failed: number) {
    this.mapping = mapping;
    this.errors = errors;
    this.failed = failed;
  }

  close(): void {
    this.mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Options of a {@link ForeignMemory}. */
export interface ForeignMemoryOptions {
  /** Frames per ioctl, default {@link foreignMapChunk}. The kernel is held for one chunk. */
  readonly chunk?: number;
}

/**
 * Foreign mappings by `IOCTL_PRIVCMD_MMAPBATCH_V2`.
 *
 * The kernel wants the first ioctl on a VMA to cover all of it, so every chunk is a VMA of its own;
 * they are placed side by side over one reservation. The ioctl returns 0 although pages failed, so
 * every entry of `err[]` counts.
 */
export class ForeignMemory implements ForeignMapper {
  readonly #device: XenDevice;
  readonly #chunk: number | undefined;
  // The kernel sees the frame numbers by address only: this keeps them from being collected.
  readonly #inFlight = new Set<BigUint64Array>();

  /** @param device - /dev/xen/privcmd, stays the caller's */
  constructor(device: XenDevice, options: ForeignMemoryOptions = {}) {
    this.#device = device;
    const { chunk } = options;
    this.#chunk = chunk === undefined ? undefined : checkInteger('chunk', chunk, 1, 0x10_0000);
  }

  map(domid: DomId, gfns: Gfns, prot: number = PROT_READ | PROT_WRITE): ForeignMapping {
    const steps = this.#steps(domid, gfns, prot);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
    }
  }

  async mapAsync(
    domid: DomId,
    gfns: Gfns,
    prot: number = PROT_READ | PROT_WRITE,
  ): Promise<ForeignMapping> {
    const steps = this.#steps(domid, gfns, prot);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      await setImmediate();
    }
  }

  /** Maps chunk by chunk, with a pause for the caller after each. */
  *#steps(domid: DomId, gfns: Gfns, prot: number): Generator<void, ForeignMapping> {
    const count = countOf(gfns);
    const errors = new Int32Array(count);
    const mapping = Mapping.create({
      length: count * XEN_PAGE_SIZE,
      prot: PROT_NONE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
      subject: `memory of domain ${domid}`,
    });
    try {
      const chunk = this.#chunk ?? foreignMapChunk(count);
      for (let at = 0; at < count; at += chunk) {
        if (at > 0) yield;
        const window = errors.subarray(at, Math.min(at + chunk, count));
        this.#mapChunk(domid, gfns, at, window, mapping, prot);
        // A domain that is not there, or not ours, fails every page alike: no use in going on.
        if (at === 0) refuseWholesale(domid, window);
      }
    } catch (error) {
      mapping.close();
      throw error;
    }
    let failed = 0;
    for (const error of errors) if (error !== 0) failed++;
    return new OwnedForeignMapping(mapping, errors, failed);
  }

  #mapChunk(
    domid: DomId,
    gfns: Gfns,
    at: number,
    errors: Int32Array,
    mapping: Mapping,
    prot: number,
  ): void {
    const frames = framesOf(gfns, at, errors.length);
    this.#inFlight.add(frames);
    const request = PRIVCMD_MMAPBATCH_V2.encode({
      num: errors.length,
      dom: domid,
      addr: mapping.pointer + BigInt(at * XEN_PAGE_SIZE),
      arr: addressOf(frames),
      err: addressOf(errors),
    });
    for (let attempt = 1; ; attempt++) {
      try {
        // A fresh VMA for every attempt: filling the holes of one goes wrong in kernels that run
        // auto-translated (they start again at the VMA's first page).
        this.#device.overlay(mapping, at * XEN_PAGE_SIZE, errors.length * XEN_PAGE_SIZE, prot);
        this.#device.ioctl(IOCTL_PRIVCMD_MMAPBATCH_V2, request);
      } catch (error) {
        // -ENOENT says that err[] is valid and that some frame is paged out.
        if (errorCode(error) !== 'ENOENT') {
          throw wrapSysError(error, `map memory of domain ${domid}`, { domid });
        }
      }
      if (attempt === PAGED_OUT_ATTEMPTS || !errors.includes(-ENOENT)) return;
      pause(PAGED_OUT_WAIT_MS);
    }
  }
}

function countOf(gfns: Gfns): number {
  if (gfns instanceof BigUint64Array) return checkInteger('gfns.length', gfns.length, 1, 2 ** 32);
  const count = checkInteger('count', gfns.count, 1, 2 ** 32);
  checkU64('first', gfns.first);
  checkU64('first + count', gfns.first + BigInt(count));
  return count;
}

function framesOf(gfns: Gfns, at: number, count: number): BigUint64Array {
  if (gfns instanceof BigUint64Array) return gfns.subarray(at, at + count);
  const frames = new BigUint64Array(count);
  for (let i = 0; i < count; i++) frames[i] = gfns.first + BigInt(at + i);
  return frames;
}

function refuseWholesale(domid: DomId, errors: Int32Array): void {
  const first = errors[0] as number;
  if (first !== -ESRCH && first !== -EPERM && first !== -EACCES) return;
  if (errors.some((error) => error !== first)) return;
  const code = codeOfErrno(-first);
  const state =
    code === 'NO_SUCH_DOMAIN' ? 'there is no such domain' : 'the hypervisor does not permit it';
  throw new XenSysError(code, `Cannot map memory of domain ${domid}: ${state}`, {
    domid,
    errno: -first,
  });
}

const never = new Int32Array(new SharedArrayBuffer(4));

function pause(milliseconds: number): void {
  Atomics.wait(never, 0, 0, milliseconds);
}
