import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BoxError } from './errors.ts';

/**
 * The one file of a directory whose name matches.
 *
 * @throws {BoxError} `MISSING_ARTEFACT`
 */
export function findFile(directory: string, pattern: RegExp): string {
  const name = readdirSync(directory).find((entry) => pattern.test(entry));
  if (name !== undefined) return join(directory, name);
  throw new BoxError('MISSING_ARTEFACT', `Cannot find ${pattern} in ${directory}: no such file`);
}
