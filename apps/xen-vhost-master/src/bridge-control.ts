import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { type OpenControl, openControlSocket } from '@node-vmm/vhost-device-cli';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { BridgeCommands } from './bridge-commands.ts';
import { controlPathIn } from './control-path.ts';

const OWNER_ONLY = 0o700;

/** Where a bridge's control socket may be. */
export interface ControlPlace {
  /** Told by the user. */
  readonly asked: string | undefined;
  /** Where guests are kept, or could be. */
  readonly stateDir: string | undefined;
}

/**
 * Answers on the bridge's control socket from now on.
 *
 * @param status - plain data
 * @returns undefined where there is no place for one, or none can be: that is a warning
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET where the user asked for it and it cannot be
 */
export async function openBridgeControl(
  { asked, stateDir }: ControlPlace,
  status: () => object,
  logger: Logger,
): Promise<OpenControl | undefined> {
  const path = asked ?? (stateDir === undefined ? undefined : controlPathIn(stateDir));
  if (path === undefined) return undefined;
  try {
    if (asked === undefined) mkdirSync(dirname(path), { recursive: true, mode: OWNER_ONLY });
    const control = await openControlSocket(path, logger);
    control.serve(new BridgeCommands(status));
    return control;
  } catch (error) {
    if (asked !== undefined) throw error;
    logger.warn({ path, reason: errorMessage(error) }, 'no status can be asked for');
    return undefined;
  }
}
