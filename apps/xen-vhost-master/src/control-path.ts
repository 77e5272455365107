import { join } from 'node:path';
import { defaultStateDir } from './state-dir.ts';

/** In the directory in which a bridge keeps its guests, which no other bridge has. */
const NAME = 'control';

/** Where a bridge is asked, unless the user says so. @param stateDir - its own */
export function controlPathIn(stateDir: string): string {
  return join(stateDir, NAME);
}

/** Where the bridge of this user is asked that was started with the usual directory. */
export function usualControlPath(): string | undefined {
  const directory = defaultStateDir();
  return directory === undefined ? undefined : controlPathIn(directory);
}
