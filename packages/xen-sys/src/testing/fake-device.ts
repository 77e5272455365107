import {
  asFd,
  type Fd,
  type IoctlRequest,
  Mapping,
  type MemoryArg,
  SysError,
} from '@node-vmm/vmm-sys-util';
import type { XenDevice } from '../device.ts';
import { XenSysError } from '../errors.ts';

/** An error as the kernel would return it. */
export function kernelError(syscall: string, errno: number): SysError {
  return new SysError({ syscall, errno });
}

/** What the fake devices have in common: mappings that `ioctl`s fill later, and being closed. */
export abstract class FakeDevice implements XenDevice {
  readonly #mappings = new Set<Mapping>();
  #live = true;

  get fd(): Fd {
    return asFd(0);
  }

  get live(): boolean {
    return this.#live;
  }

  /** Mappings of the device that nobody has closed: a test that ends with some has found a leak. */
  get openMappings(): number {
    let open = 0;
    for (const mapping of this.#mappings) {
      if (mapping.live) open++;
      else this.#mappings.delete(mapping);
    }
    return open;
  }

  ioctl(request: IoctlRequest, arg: MemoryArg): number {
    this.check();
    return this.control(request, arg);
  }

  /** Handles a request of an open device. */
  protected abstract control(request: IoctlRequest, arg: MemoryArg): number;

  read(_target: ArrayBufferView, _count: number): number {
    return -1;
  }

  write(_source: ArrayBufferView, count: number): number {
    return count;
  }

  map(length: number, _prot: number): Mapping {
    this.check();
    const mapping = Mapping.create({ length });
    this.#mappings.add(mapping);
    return mapping;
  }

  overlay(mapping: Mapping, at: number, length: number, prot: number): void {
    this.check();
    mapping.overlay(at, { length, prot });
    this.#mappings.add(mapping);
  }

  /** The mapping of this device that holds an address, and the offset in it. */
  protected locate(pointer: bigint): { mapping: Mapping; offset: number } | undefined {
    for (const mapping of this.#mappings) {
      const offset = pointer - mapping.pointer;
      if (mapping.live && offset >= 0n && offset < BigInt(mapping.length)) {
        return { mapping, offset: Number(offset) };
      }
    }
    return undefined;
  }

  protected check(): void {
    if (!this.#live) throw new XenSysError('CLOSED', 'Cannot use the fake device: it is closed');
  }

  close(): void {
    this.#live = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The struct that an ioctl's argument points to. */
export function argument(arg: MemoryArg): Uint8Array {
  if (!ArrayBuffer.isView(arg)) throw new TypeError('ioctl argument expected bytes');
  return new Uint8Array(arg.buffer as ArrayBuffer, arg.byteOffset, arg.byteLength);
}
