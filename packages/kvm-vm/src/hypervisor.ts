import { KvmSysError } from '@node-vmm/kvm-sys';
import { VmError, type VmErrorContext } from '@node-vmm/vm-device';

/**
 * Runs what asks KVM for something, as a machine's users hear of failures.
 *
 * @param action - completes "Cannot ..."
 * @throws {VmError} HYPERVISOR
 */
export function hypervisor<T>(action: string, context: VmErrorContext, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!KvmSysError.is(error)) throw error;
    const text = `Cannot ${action}: ${error.message}`;
    throw new VmError('HYPERVISOR', text, context, { cause: error });
  }
}
