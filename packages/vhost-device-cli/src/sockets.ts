import { lstatSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errorCode, errorMessage, UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import type { DaemonOptions } from './daemon-options.ts';
import { CliError } from './errors.ts';

/**
 * Checks that the sockets have usable names and a directory.
 *
 * @throws {CliError} USAGE, BAD_DIRECTORY
 */
export function checkSockets({
  socketPath,
  socketCount,
}: Pick<DaemonOptions, 'socketPath' | 'socketCount'>): void {
  const longest = `${socketPath}${socketCount - 1}`;
  if (Buffer.byteLength(longest) > UNIX_PATH_MAX) {
    throw new CliError(
      'USAGE',
      `Cannot use socket path "${longest}": it must have 1 to ${UNIX_PATH_MAX} bytes, number included`,
    );
  }
  const directory = dirname(resolve(socketPath));
  const refuse = (state: string): CliError =>
    new CliError('BAD_DIRECTORY', `Cannot create sockets in ${directory}: ${state}`, {
      path: directory,
    });
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) throw refuse(`it does not exist; create it (mkdir -p ${directory})`);
  if (!stat.isDirectory()) throw refuse('it is no directory; choose another --socket-path');
}

/** The socket of a daemon's n-th device: its part of a `DeviceSpec`. */
export function socketOf(
  { socketPath, socketMode, socketGroup }: DaemonOptions,
  index: number,
): Pick<DaemonOptions, 'socketPath' | 'socketMode' | 'socketGroup'> {
  return {
    socketPath: `${socketPath}${index}`,
    ...(socketMode === undefined ? {} : { socketMode }),
    ...(socketGroup === undefined ? {} : { socketGroup }),
  };
}

/**
 * Says what to do about a socket that could not be opened.
 *
 * @param error - what listening on `path` threw
 */
export function socketProblem(error: unknown, path: string): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return lstatSync(path, { throwIfNoEntry: false, bigint: true })?.isSocket() === false
        ? `Cannot listen on ${path}: a file that is no socket is there; remove it or choose another --socket-path`
        : `Cannot listen on ${path}: another process does; stop it or choose another --socket-path`;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `Cannot listen on ${path}: permission denied; run as a user who may write there or choose another --socket-path`;
    default:
      return errorMessage(error);
  }
}
