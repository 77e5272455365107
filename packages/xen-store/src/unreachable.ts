import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util/errors';
import { XenStoreError } from './errors.ts';

/**
 * The error for a way to xenstored that cannot be opened: NOT_PERMITTED or NOT_RUNNING.
 *
 * @param action - completes "Cannot ..."
 * @param remedy - for when nobody is there
 */
export function unreachable(error: unknown, action: string, remedy: string): XenStoreError {
  const code = errorCode(error);
  const refused = code === 'EACCES' || code === 'EPERM';
  return new XenStoreError(
    refused ? 'NOT_PERMITTED' : 'NOT_RUNNING',
    `Cannot ${action}: ${code ?? errorMessage(error)} (${refused ? 'run as root' : remedy})`,
    {},
    { cause: error },
  );
}
