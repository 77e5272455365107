import { VmError } from '@node-vmm/vm-device';
import { errorMessage } from '@node-vmm/vmm-sys-util';
import type { DomId } from '@node-vmm/xen-sys';

/**
 * Runs what asks Xen for something, as a machine's users hear of failures.
 *
 * @param action - completes "Cannot ..."
 * @throws {VmError} HYPERVISOR
 */
export function hypervisor<T>(action: string, domid: DomId, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (VmError.is(error)) throw error;
    const text = `Cannot ${action}: ${errorMessage(error)}`;
    throw new VmError('HYPERVISOR', text, { vm: `xen:${domid}` }, { cause: error });
  }
}
