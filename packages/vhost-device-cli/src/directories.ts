import { statSync } from 'node:fs';
import { CliError } from './errors.ts';

/**
 * @param purpose - `create sockets in`
 * @param option - that names it
 * @throws {CliError} BAD_DIRECTORY when there is no such directory
 */
export function checkDirectory(directory: string, purpose: string, option: string): void {
  const refuse = (state: string): CliError =>
    new CliError('BAD_DIRECTORY', `Cannot ${purpose} ${directory}: ${state}`, { path: directory });
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) throw refuse(`it does not exist; create it (mkdir -p ${directory})`);
  if (!stat.isDirectory()) throw refuse(`it is no directory; choose another ${option}`);
}
