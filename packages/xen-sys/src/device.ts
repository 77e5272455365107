import { constants } from 'node:fs';
import {
  closeFd,
  errorCode,
  type Fd,
  type IoctlRequest,
  ioctl,
  MAP_SHARED,
  Mapping,
  type MemoryArg,
  O_NONBLOCK,
  openFd,
  readFd,
  writeFd,
} from '@node-vmm/vmm-sys-util';
import { XenSysError, type XenSysErrorCode } from './errors.ts';

/**
 * A character device of the Xen drivers. The classes of this package work on this interface, so that
 * an emulation of the drivers can stand in for the kernel (see `./testing`).
 */
export interface XenDevice extends Disposable {
  readonly fd: Fd;
  readonly live: boolean;
  /** @throws {SysError} */
  ioctl(request: IoctlRequest, arg: MemoryArg): number;
  /** @returns bytes read, -1 when the device would block. @throws {SysError} */
  read(target: ArrayBufferView, count: number): number;
  /** @returns bytes written, -1 when the device would block. @throws {SysError} */
  write(source: ArrayBufferView, count: number): number;
  /** Maps the device. @throws {SysError} */
  map(length: number, prot: number): Mapping;
  /** Maps the device over a window of a mapping. @throws {SysError} */
  overlay(mapping: Mapping, at: number, length: number, prot: number): void;
  /** Idempotent. Mappings stay. */
  close(): void;
}

class LinuxDevice implements XenDevice {
  readonly fd: Fd;
  readonly #path: string;
  readonly #owned: boolean;
  #live = true;

  constructor(fd: Fd, path: string, owned: boolean) {
    this.fd = fd;
    this.#path = path;
    this.#owned = owned;
  }

  get live(): boolean {
    return this.#live;
  }

  ioctl(request: IoctlRequest, arg: MemoryArg): number {
    return ioctl(this.#open(), request, arg);
  }

  read(target: ArrayBufferView, count: number): number {
    return readFd(this.#open(), target, count);
  }

  write(source: ArrayBufferView, count: number): number {
    return writeFd(this.#open(), source, count);
  }

  map(length: number, prot: number): Mapping {
    const fd = this.#open();
    return Mapping.create({ length, prot, flags: MAP_SHARED, fd, subject: this.#path });
  }

  overlay(mapping: Mapping, at: number, length: number, prot: number): void {
    const fd = this.#open();
    mapping.overlay(at, { length, prot, flags: MAP_SHARED, fd, subject: this.#path });
  }

  #open(): Fd {
    if (!this.#live) {
      throw new XenSysError('CLOSED', `Cannot use ${this.#path}: it is closed`);
    }
    return this.fd;
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    if (this.#owned) closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** How a missing device is reported. */
export interface DeviceDescription {
  readonly missing: XenSysErrorCode;
  readonly remedy: string;
  readonly nonBlocking?: boolean;
}

/**
 * Opens a device of the Xen drivers.
 *
 * @throws {XenSysError} `description.missing` when there is no such device or no driver behind it,
 * NOT_PERMITTED
 */
export function openXenDevice(path: string, description: DeviceDescription): XenDevice {
  try {
    const extra = description.nonBlocking === true ? O_NONBLOCK : 0;
    return new LinuxDevice(openFd(path, constants.O_RDWR | extra), path, true);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EACCES' || code === 'EPERM') {
      throw new XenSysError(
        'NOT_PERMITTED',
        `Cannot open ${path}: ${code} (run as root, or give this user access to the device)`,
        {},
        { cause: error },
      );
    }
    if (code === 'ENOENT' || code === 'ENXIO' || code === 'ENODEV' || code === 'ENOTDIR') {
      throw new XenSysError(
        description.missing,
        `Cannot open ${path}: ${code} (${description.remedy})`,
        {},
        { cause: error },
      );
    }
    throw new XenSysError(
      'FAILED',
      `Cannot open ${path}: ${code ?? String(error)}`,
      {},
      {
        cause: error,
      },
    );
  }
}

/**
 * Wraps a descriptor of a device that somebody else opened.
 *
 * @param owned - close it with the device; default true
 */
export function xenDeviceFromFd(fd: Fd, name: string, owned = true): XenDevice {
  return new LinuxDevice(fd, name, owned);
}
