import { lstatSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { DeviceSpec } from '@node-vmm/vhost-user-backend';
import { asFd, errorMessage, SysError, socketListens, UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import type { SocketOptions } from './daemon-options.ts';
import { checkDirectory, checkNoDirectory } from './directories.ts';
import { CliError } from './errors.ts';
import { pathProblem } from './path-problem.ts';

/** Where a device is served: its part of a `DeviceSpec`. */
export type SocketPlace = Pick<
  DeviceSpec,
  'socketPath' | 'socketMode' | 'socketGroup' | 'listenFd' | 'connectedFd'
>;

/**
 * Where the devices of a daemon are to be served, one for each, in their order. Nothing is opened.
 *
 * @throws {CliError} USAGE for a path that is too long, BAD_DIRECTORY
 * @throws {DescriptorError} when a socket that was passed is none
 */
export function socketPlaces(options: SocketOptions): readonly SocketPlace[] {
  const { passedSockets, socketPath, socketCount } = options;
  if (passedSockets !== undefined) return passedSockets.map(({ fd }) => passedPlace(fd));
  if (socketPath === undefined) return [];
  const last = pathOf(options, socketCount - 1);
  checkPath(last);
  // Numbers would follow a directory's name, outside of it or without a name of their own.
  checkNoDirectory(socketPath, '--socket-path');
  return Array.from({ length: socketCount }, (_, i) => placeAt(pathOf(options, i), options));
}

/** @returns the place of one socket, with the permissions that all have */
export function placeAt(
  socketPath: string,
  { socketMode, socketGroup }: Pick<SocketOptions, 'socketMode' | 'socketGroup'>,
): SocketPlace {
  return {
    socketPath,
    ...(socketMode === undefined ? {} : { socketMode }),
    ...(socketGroup === undefined ? {} : { socketGroup }),
  };
}

/**
 * Checks that a socket has a usable name and a directory.
 *
 * @throws {CliError} USAGE, BAD_DIRECTORY
 */
export function checkPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes === 0 || bytes > UNIX_PATH_MAX) {
    throw new CliError(
      'USAGE',
      `Cannot use socket path "${path}": it must have 1 to ${UNIX_PATH_MAX} bytes, number included`,
    );
  }
  checkDirectory(dirname(resolve(path)), 'create sockets in', '--socket-path');
  checkNoDirectory(path, '--socket-path');
}

function pathOf({ socketPath = '', numberedSockets }: SocketOptions, index: number): string {
  return numberedSockets === true ? `${socketPath}${index}` : socketPath;
}

/** Whoever passes a socket may have connected it: QEMU's programs take such, virtiofsd one that listens. */
function passedPlace(fd: number): SocketPlace {
  return socketListens(asFd(fd)) ? { listenFd: fd } : { connectedFd: fd };
}

/**
 * Says what to do about a socket that could not be opened.
 *
 * @param error - what listening on `path` threw
 * @param option - that names it
 */
export function socketProblem(
  error: unknown,
  path: string | undefined,
  option = '--socket-path',
): string {
  // Devices fail too, by codes of the same names.
  if (path === undefined || !SysError.is(error)) return errorMessage(error);
  const { code } = error;
  const problem = code === 'EADDRINUSE' ? occupied(path, option) : pathProblem(code, option);
  return problem === undefined ? errorMessage(error) : `Cannot listen on ${path}: ${problem}`;
}

function occupied(path: string, option: string): string {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })?.isSocket() === false
    ? `a file that is no socket is there; remove it or choose another ${option}`
    : `another process does; stop it or choose another ${option}`;
}
