import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { pathProblem } from '@node-vmm/vhost-device-cli/options';
import { errorCode } from '@node-vmm/vmm-sys-util';
import { RngError } from './errors.ts';

/** getrandom(2): the source that is no file: the kernel's generator. */
export const GETRANDOM = 'getrandom';

/** Device number of /dev/urandom (Documentation/admin-guide/devices.txt: 1, 9), as `st_rdev` has it. */
const URANDOM_RDEV = (1 << 8) | 9;

/** Where a device's random bytes come from: structured-cloneable. */
export type RngSource =
  | { readonly kind: 'kernel' }
  | {
      readonly kind: 'file';
      readonly path: string;
      /**
       * Non-blocking. All devices of the process that have it take turns, and one that is made again goes
       * on where the one before was: no byte of a file is given twice.
       */
      readonly fd: number;
      /** A file that ends only where it has been read to its end: not a FIFO that nobody writes. */
      readonly ends: boolean;
    };

/** True for a source of bytes that are the same each time it is opened. Never throws: `openSource` says what is wrong. */
export function isFile(name: string): boolean {
  if (name === GETRANDOM) return false;
  try {
    return statSync(name).isFile();
  } catch {
    return false;
  }
}

/**
 * Opens a source, once for all devices of a process.
 *
 * @param name - `getrandom`, or the path of a file, a character device or a FIFO
 * @returns options for devices; what is open stays open for as long as the process lives
 * @throws {RngError} SOURCE_UNUSABLE
 */
export function openSource(name: string): RngSource {
  if (name === GETRANDOM) return { kind: 'kernel' };
  const fd = open(name);
  const stat = fstatSync(fd);
  if (stat.isCharacterDevice() && stat.rdev === URANDOM_RDEV) {
    closeSync(fd);
    return { kind: 'kernel' };
  }
  if (stat.isDirectory()) {
    closeSync(fd);
    throw new RngError('SOURCE_UNUSABLE', `Cannot use the source ${name}: ${reason('EISDIR')}`, {
      path: name,
    });
  }
  return { kind: 'file', path: name, fd, ends: !stat.isFIFO() };
}

function open(path: string): number {
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    // Without O_NONBLOCK a FIFO would be waited for here, and a device in every read.
    return openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  } catch (cause) {
    const text = `Cannot open the source ${path}: ${reason(errorCode(cause))}`;
    throw new RngError('SOURCE_UNUSABLE', text, { path }, { cause });
  }
}

function reason(code: string | undefined): string {
  // Of open(2): nobody listens to a socket by its path, and a device may have no driver.
  if (code === 'ENXIO') return 'it is a socket, or a device that is not there';
  return pathProblem(code, '--rng-source') ?? code ?? 'unknown error';
}
