import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { type OpenControl, openControl } from '../control/open.ts';
import { StatusCommands } from './status-commands.ts';

const OWNER_ONLY = 0o700;

/** Where a program's control socket may be. */
export interface StatusPlace {
  /** Told by the user. */
  readonly asked: string | undefined;
  /** Where it is otherwise, if anywhere; its directory is made. */
  readonly usual?: string | undefined;
}

/**
 * Answers `status` on a program's control socket from now on, of mode 0600.
 *
 * @param status - plain data
 * @returns undefined where there is no place for one, or none can be: that is a warning
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET where the user asked for it and it cannot be
 */
export function openStatusSocket(
  { asked, usual }: StatusPlace,
  status: () => object,
  logger: Logger,
): OpenControl | undefined {
  const path = asked ?? usual;
  if (path === undefined) return undefined;
  try {
    if (asked === undefined) mkdirSync(dirname(path), { recursive: true, mode: OWNER_ONLY });
    const control = openControl(path, logger);
    control.serve(new StatusCommands(status));
    return control;
  } catch (error) {
    if (asked !== undefined) throw error;
    logger.warn({ path, reason: errorMessage(error) }, 'no status can be asked for');
    return undefined;
  }
}
