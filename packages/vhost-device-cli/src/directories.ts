import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util/errors';
import { CliError } from './errors.ts';
import { pathProblem } from './path-problem.ts';

/**
 * @param purpose - `create sockets in`
 * @param option - that names it
 * @throws {CliError} BAD_DIRECTORY when there is no such directory, or nothing can be made in it
 */
export function checkDirectory(directory: string, purpose: string, option: string): void {
  const refuse = (state: string): CliError =>
    new CliError('BAD_DIRECTORY', `Cannot ${purpose} ${directory}: ${state}`, { path: directory });
  let stat: Stats;
  try {
    // Not with `throwIfNoEntry: false`: since Node 22 that hides ENOTDIR, too.
    stat = statSync(directory);
  } catch (error) {
    const code = errorCode(error);
    const absent = `it does not exist; create it (mkdir -p ${quoted(directory)})`;
    throw refuse(code === 'ENOENT' ? absent : (pathProblem(code, option) ?? errorMessage(error)));
  }
  if (!stat.isDirectory()) throw refuse(`it is no directory; choose another ${option}`);
  try {
    accessSync(directory, constants.W_OK);
  } catch (error) {
    // Whether rights suffice is seen when they are used: access(2) does not know all of them.
    const code = errorCode(error);
    if (code === 'EROFS') throw refuse(pathProblem(code, option) ?? code);
  }
}

/**
 * Checks that what is to be a socket, or how the names of several begin, is no directory.
 *
 * @param option - that names it
 * @throws {CliError} BAD_DIRECTORY
 */
export function checkNoDirectory(path: string, option: string): void {
  let directory = path.endsWith('/');
  try {
    directory ||= statSync(path, { throwIfNoEntry: false, bigint: true })?.isDirectory() === true;
  } catch {
    // Whoever opens it says why it cannot be.
  }
  if (!directory) return;
  const text = `Cannot use ${option} ${path}: it is a directory; name the socket in it (${path.replace(/\/+$/, '')}/name.sock)`;
  throw new CliError('BAD_DIRECTORY', text, { path });
}

function quoted(path: string): string {
  return /^[\w./:@%+,-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
