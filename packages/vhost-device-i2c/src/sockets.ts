import { lstatSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util';
import { I2cError } from './errors.ts';

/**
 * Checks that there is a directory for the sockets.
 *
 * @throws {I2cError} BAD_DIRECTORY
 */
export function checkDirectory(socketPath: string): void {
  const directory = dirname(resolve(socketPath));
  const refuse = (state: string): I2cError =>
    new I2cError('BAD_DIRECTORY', `Cannot create sockets in ${directory}: ${state}`);
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) throw refuse(`it does not exist; create it (mkdir -p ${directory})`);
  if (!stat.isDirectory()) throw refuse('it is no directory; choose another --socket-path');
}

/**
 * Says what to do about a socket that could not be opened.
 *
 * @param error - what listening on `path` threw
 */
export function socketProblem(error: unknown, path: string): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false
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
