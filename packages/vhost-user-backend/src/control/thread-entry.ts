import { existsSync } from 'node:fs';
import { VhostUserBackendError } from '../errors.ts';

/** Undefined in a bundle of CommonJS. */
const HERE: string | undefined = import.meta.url;

/**
 * Tests run the sources, which Node 20 cannot load in a worker thread: there, threads run what `tsc -b`
 * built, and without the conditions that resolve our packages to sources.
 */
export const FROM_SOURCE: boolean = HERE?.endsWith('.ts') === true;

/**
 * What threads of a daemon run.
 *
 * @param given - `threadModule` of the daemon's options
 * @throws {VhostUserBackendError} THREAD_MODULE
 */
export function threadEntry(given: URL | undefined): URL {
  const entry = given ?? beside();
  if (entry === undefined || (entry.protocol === 'file:' && !existsSync(entry))) {
    const place = entry === undefined ? '' : `: ${entry.href} is not there`;
    throw new VhostUserBackendError(
      'THREAD_MODULE',
      `Cannot find the module of threads${place}; a program that is bundled passes its URL as threadModule, see "Bundling" in the README of @node-vmm/vhost-user-backend`,
    );
  }
  return entry;
}

function beside(): URL | undefined {
  if (HERE === undefined) return undefined;
  return new URL(FROM_SOURCE ? '../../dist/thread/entry.js' : '../thread/entry.js', HERE);
}
