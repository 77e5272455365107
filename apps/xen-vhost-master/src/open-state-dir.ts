import { existsSync } from 'node:fs';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { BridgeError } from './errors.ts';
import type { Arguments } from './settings.ts';
import { defaultStateDir, StateDir } from './state-dir.ts';

/**
 * Opens the directory in which guests are kept from one bridge to the next. What an earlier bridge left there
 * is taken up whether or not this one leaves any.
 *
 * @param run - `keep`: undefined where guests are kept if that can be
 * @param usual - where that is, unless the user says so
 * @returns undefined where there is nothing to take up, and nothing can be kept: that is a warning, unless
 * nothing is to be kept
 * @throws {BridgeError} STATE_DIR where the user asked for it and it cannot be
 */
export function openStateDir(
  run: Pick<Arguments, 'keep' | 'stateDir'>,
  logger: Logger,
  usual: () => string | undefined = defaultStateDir,
): StateDir | undefined {
  const asked = run.keep === true || run.stateDir !== undefined;
  const path = run.stateDir ?? usual();
  if (run.keep === false && !asked && (path === undefined || !existsSync(path))) return undefined;
  try {
    if (path !== undefined) return StateDir.open(path, logger);
    throw new BridgeError(
      'STATE_DIR',
      'Cannot keep guests: there is no XDG_RUNTIME_DIR; say where by --state-dir',
    );
  } catch (error) {
    if (asked) throw error;
    const reason = errorMessage(error);
    if (run.keep === false) logger.debug({ path, reason }, 'no guests are taken up');
    else logger.warn({ path, reason }, 'guests lose their devices when this bridge ends');
    return undefined;
  }
}
