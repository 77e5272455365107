import {
  closeFd,
  type Fd,
  type IoctlRequest,
  ioctl,
  ioctlNumber,
  ioctlOnce,
  MAP_SHARED,
  Mapping,
  type MemoryArg,
} from '@node-vmm/vmm-sys-util';
import { KvmSysError } from './errors.ts';

/**
 * A descriptor of KVM: /dev/kvm, a VM, a vCPU or a device. The classes of this package work on this
 * interface, so that something else can stand in for the kernel.
 */
export interface KvmDevice extends Disposable {
  readonly fd: Fd;
  readonly live: boolean;
  /** @throws {SysError} */
  ioctl(request: IoctlRequest, arg: MemoryArg): number;
  /** An ioctl whose argument is a number. @throws {SysError} */
  ioctlNumber(request: IoctlRequest, arg: number): number;
  /** An ioctl that a signal ends. @returns the result or a negative errno */
  ioctlOnce(request: IoctlRequest, arg: number): number;
  /** Maps the descriptor, to be read and written. @throws {SysError} */
  map(length: number): Mapping;
  /** Wraps a descriptor that an ioctl has returned; it belongs to what is returned. */
  derive(fd: Fd, name: string): KvmDevice;
  /** Idempotent. Mappings stay. */
  close(): void;
}

class LinuxDevice implements KvmDevice {
  readonly fd: Fd;
  readonly #name: string;
  #live = true;

  constructor(fd: Fd, name: string) {
    this.fd = fd;
    this.#name = name;
  }

  get live(): boolean {
    return this.#live;
  }

  ioctl(request: IoctlRequest, arg: MemoryArg): number {
    return ioctl(this.#open(), request, arg, this.#name);
  }

  ioctlNumber(request: IoctlRequest, arg: number): number {
    return ioctlNumber(this.#open(), request, arg, this.#name);
  }

  ioctlOnce(request: IoctlRequest, arg: number): number {
    return ioctlOnce(this.#open(), request, arg);
  }

  map(length: number): Mapping {
    return Mapping.create({ length, flags: MAP_SHARED, fd: this.#open(), subject: this.#name });
  }

  derive(fd: Fd, name: string): KvmDevice {
    return new LinuxDevice(fd, name);
  }

  #open(): Fd {
    if (!this.#live) throw new KvmSysError('CLOSED', `Cannot use ${this.#name}: it is closed`);
    return this.fd;
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Wraps a descriptor of KVM, which belongs to what is returned from then on.
 *
 * @param name - for messages: "/dev/kvm", "vCPU 0"
 */
export function kvmDeviceFromFd(fd: Fd, name: string): KvmDevice {
  return new LinuxDevice(fd, name);
}
