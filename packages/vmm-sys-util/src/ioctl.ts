import type { Fd, HostPointer } from './brand.ts';
import { callAsync, check, errno, type MemoryArg, retry, sys } from './libc.ts';

// asm-generic/ioctl.h: number 8 bits, type 8, size 14, direction 2. x86_64 and arm64 use it as is.
const NRSHIFT = 0;
const TYPESHIFT = 8;
const SIZESHIFT = 16;
const DIRSHIFT = 30;
const IOC_NONE = 0;
const IOC_WRITE = 1;
const IOC_READ = 2;

/** An ioctl request: its number and its name for messages. */
export interface IoctlRequest {
  readonly name: string;
  readonly number: number;
}

function encode(direction: number, type: number | string, nr: number, size: number): number {
  const typeCode = typeof type === 'string' ? type.charCodeAt(0) : type;
  return (
    ((direction << DIRSHIFT) | (size << SIZESHIFT) | (typeCode << TYPESHIFT) | (nr << NRSHIFT)) >>>
    0
  );
}

/** `_IOC(_IOC_NONE, type, nr, size)`: several Xen ioctls carry a size without a direction. */
export function _IOC_NONE(name: string, type: number | string, nr: number, size = 0): IoctlRequest {
  return { name, number: encode(IOC_NONE, type, nr, size) };
}
/** `_IOR(type, nr, size)`: the kernel writes the argument. */
export function _IOR(name: string, type: number | string, nr: number, size: number): IoctlRequest {
  return { name, number: encode(IOC_READ, type, nr, size) };
}
/** `_IOW(type, nr, size)`: the kernel reads the argument. */
export function _IOW(name: string, type: number | string, nr: number, size: number): IoctlRequest {
  return { name, number: encode(IOC_WRITE, type, nr, size) };
}
/** `_IOWR(type, nr, size)`. */
export function _IOWR(name: string, type: number | string, nr: number, size: number): IoctlRequest {
  return { name, number: encode(IOC_READ | IOC_WRITE, type, nr, size) };
}
/** A request from before the encoding existed, such as those of i2c-dev. */
export function legacyIoctl(name: string, number: number): IoctlRequest {
  return { name, number };
}

/**
 * Issues an ioctl with a pointer argument; repeats it when a signal interrupts it.
 *
 * @returns the result, >= 0
 * @throws {SysError} with the request's name
 */
export function ioctl(fd: Fd, request: IoctlRequest, arg: MemoryArg, subject?: string): number {
  return check(
    retry(() => sys.ioctl(fd, request.number, arg)),
    `ioctl(${request.name})`,
    subject,
  );
}

/**
 * Issues an ioctl on another thread, for one that takes long.
 *
 * @param arg - address of memory that stays until this is settled, as everything that it points to
 * @returns the result; negative when it failed, and why is not known
 */
export function ioctlAsync(fd: Fd, request: IoctlRequest, arg: HostPointer): Promise<number> {
  return callAsync(sys.ioctl, fd, request.number, arg);
}

/**
 * Issues an ioctl whose argument is a number, not a pointer.
 *
 * @throws {SysError} with the request's name
 */
export function ioctlNumber(fd: Fd, request: IoctlRequest, arg: number, subject?: string): number {
  return check(
    retry(() => sys.ioctlNumber(fd, request.number, arg)),
    `ioctl(${request.name})`,
    subject,
  );
}

/**
 * Issues an ioctl with a number as its argument once: a signal ends it, as `KVM_RUN` needs it, and
 * failing makes no error object.
 *
 * @returns the result, >= 0, or a negative `errno`: `-EINTR` after a signal
 */
export function ioctlOnce(fd: Fd, request: IoctlRequest, arg: number): number {
  const result = sys.ioctlNumber(fd, request.number, arg);
  return result < 0 ? -errno() : result;
}
