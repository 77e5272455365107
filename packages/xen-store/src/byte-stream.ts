import { constants, existsSync } from 'node:fs';
import {
  closeFd,
  errorMessage,
  type Fd,
  openFd,
  readFd,
  UnixStream,
  writeFd,
} from '@node-vmm/vmm-sys-util';
import { XenStoreError } from './errors.ts';

/** Where xenstored listens, in order of preference; `XENSTORED_PATH` names another. */
export const XENSTORED_SOCKETS: readonly string[] = [
  '/run/xenstored/socket',
  '/var/run/xenstored/socket',
];
/** The kernel's way to the xenstore, for domains without a xenstored of their own. */
export const XENBUS_DEVICE = '/dev/xen/xenbus';

/** A non-blocking, pollable way to a xenstore. */
export interface ByteStream {
  readonly fd: Fd;
  /** @returns bytes read, 0 when the other side closed, -1 when nothing is there yet */
  read(target: Uint8Array): number;
  /** @returns bytes taken, -1 when none can be now */
  write(bytes: Uint8Array): number;
  close(): void;
}

/** xenstored's Unix socket. */
export function openSocket(path: string): ByteStream {
  const stream = UnixStream.connect(path, { maxFds: 1 });
  return {
    fd: stream.fd,
    read: (target) => stream.receive(target)?.bytes ?? -1,
    write: (bytes) => stream.send(bytes),
    close: () => stream.close(),
  };
}

/** The character device `/dev/xen/xenbus`. */
export function openDevice(path: string): ByteStream {
  const fd = openFd(path, constants.O_RDWR | constants.O_NONBLOCK);
  return {
    fd,
    read: (target) => readFd(fd, target, target.length),
    write: (bytes) => writeFd(fd, bytes, bytes.length),
    close: () => closeFd(fd),
  };
}

/**
 * Opens the xenstore of this domain.
 *
 * @param path - socket or device; default: `XENSTORED_PATH`, xenstored's socket, the device
 * @throws {XenStoreError} NOT_RUNNING, naming the remedy
 */
export function openStream(path?: string): ByteStream {
  const chosen =
    path ??
    process.env['XENSTORED_PATH'] ??
    XENSTORED_SOCKETS.find((candidate) => existsSync(candidate)) ??
    XENBUS_DEVICE;
  try {
    return chosen.startsWith('/dev/') ? openDevice(chosen) : openSocket(chosen);
  } catch (error) {
    throw new XenStoreError(
      'NOT_RUNNING',
      `Cannot open the xenstore at ${chosen}: ${errorMessage(error)}; is this a Xen domain, and does ` +
        'xenstored run? In dom0 start it with `systemctl start xenstored`; elsewhere load xenfs',
      undefined,
      { cause: error },
    );
  }
}
