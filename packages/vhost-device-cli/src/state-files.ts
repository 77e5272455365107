import { join } from 'node:path';
import type { DeviceSpec } from '@node-vmm/vhost-user-backend';
import type { ServingOptions } from './daemon-options.ts';
import { checkDirectory } from './directories.ts';

/**
 * Checks that there is a directory for the state of devices, if they are to have some.
 *
 * @throws {CliError} BAD_DIRECTORY
 */
export function checkStateDirectory({ stateDir }: Pick<ServingOptions, 'stateDir'>): void {
  if (stateDir !== undefined) checkDirectory(stateDir, 'keep state in', '--state-dir');
}

/** Where a device's state is, and whose: its part of a `DeviceSpec`. */
export function stateOf(
  { stateDir, user }: Pick<ServingOptions, 'stateDir' | 'user'>,
  device: string,
): Pick<DeviceSpec, 'statePath' | 'stateOwner'> {
  if (stateDir === undefined) return {};
  const statePath = join(stateDir, `${device}.state`);
  return user === undefined ? { statePath } : { statePath, stateOwner: user };
}
