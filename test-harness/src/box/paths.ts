import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `test-harness/`, the same seen from `src/` and from `dist/`. */
export const HARNESS_ROOT: string = fileURLToPath(new URL('../..', import.meta.url));

/** `test-harness/box/`: kernel options, init scripts and the like. */
export const ASSETS: string = join(HARNESS_ROOT, 'box');

/** The checkout. */
export const WORKSPACE_ROOT: string = fileURLToPath(new URL('../../..', import.meta.url));

/** Where artefacts, logs and run directories live: `$XDG_CACHE_HOME/node-vmm`. */
export function cacheRoot(): string {
  const base = process.env['XDG_CACHE_HOME'];
  return join(base?.startsWith('/') ? base : join(homedir(), '.cache'), 'node-vmm');
}
