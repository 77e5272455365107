import {
  type HostPointer,
  MAP_ANONYMOUS,
  MAP_LOCKED,
  MAP_POPULATE,
  MAP_PRIVATE,
  Mapping,
  PROT_READ,
  PROT_WRITE,
} from '@node-vmm/vmm-sys-util';
import { XEN_PAGE_SIZE } from './abi/xen.ts';
import { openXenDevice, type XenDevice } from './device.ts';
import { XenSysError } from './errors.ts';
import type { HypercallBuffer } from './hypercall.ts';

const HYPERCALL_PATH = '/dev/xen/hypercall';
/** Single pages kept for the next hypercall. */
const POOL_PAGES = 4;

class PooledBuffer implements HypercallBuffer {
  readonly #mapping: Mapping;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #release: (mapping: Mapping) => void;
  #live = true;

  constructor(mapping: Mapping, size: number, release: (mapping: Mapping) => void) {
    this.#mapping = mapping;
    // The pool may hold the page of an earlier call: nothing of that may reach the next one.
    this.#bytes = new Uint8Array(mapping.buffer(0, size)).fill(0);
    this.#release = release;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    this.#check();
    return this.#bytes;
  }

  get pointer(): HostPointer {
    this.#check();
    return this.#mapping.pointer;
  }

  #check(): void {
    if (!this.#live || !this.#mapping.live) {
      throw new XenSysError('CLOSED', 'Cannot use a hypercall buffer: it is released');
    }
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#release(this.#mapping);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Hypercall-safe memory from /dev/xen/hypercall (Linux >= 4.18), which the kernel never moves or
 * pages out; locked anonymous memory where that device is missing.
 */
export class HypercallBuffers implements Disposable {
  readonly #open: () => XenDevice | undefined;
  readonly #pool: Mapping[] = [];
  #device: XenDevice | undefined;
  #opened = false;
  #live = true;

  /** @param open - opens the device at the first use; undefined when there is none */
  constructor(open: () => XenDevice | undefined = openHypercallDevice) {
    this.#open = open;
  }

  /** Pages waiting to be used again. */
  get pooled(): number {
    return this.#pool.length;
  }

  /**
   * @param size - bytes, > 0
   * @throws {SysError} when there is no memory
   * @throws {XenSysError} CLOSED
   */
  allocate(size: number): HypercallBuffer {
    if (!this.#live) {
      throw new XenSysError('CLOSED', 'Cannot allocate a hypercall buffer: the pool is closed');
    }
    const pages = Math.ceil(size / XEN_PAGE_SIZE);
    const pooled = pages === 1 ? this.#pool.pop() : undefined;
    const mapping = pooled ?? this.#map(pages * XEN_PAGE_SIZE);
    return new PooledBuffer(mapping, size, this.#release);
  }

  readonly #release = (mapping: Mapping): void => {
    const keep = this.#live && mapping.length === XEN_PAGE_SIZE && this.#pool.length < POOL_PAGES;
    if (keep) this.#pool.push(mapping);
    else mapping.close();
  };

  #map(length: number): Mapping {
    if (!this.#opened) {
      this.#device = this.#open();
      this.#opened = true;
    }
    if (this.#device !== undefined) return this.#device.map(length, PROT_READ | PROT_WRITE);
    return Mapping.create({
      length,
      flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE,
      subject: 'hypercall buffer',
    });
  }

  /** Unmaps pooled pages; buffers in use are unmapped when released. Idempotent. */
  close(): void {
    this.#live = false;
    for (const mapping of this.#pool.splice(0)) mapping.close();
    this.#device?.close();
    this.#device = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens /dev/xen/hypercall; undefined when this kernel has none or we may not use it. */
export function openHypercallDevice(): XenDevice | undefined {
  try {
    return openXenDevice(HYPERCALL_PATH, { missing: 'UNSUPPORTED', remedy: 'Linux >= 4.18' });
  } catch (error) {
    if (XenSysError.is(error) && error.code !== 'FAILED') return undefined;
    throw error;
  }
}
