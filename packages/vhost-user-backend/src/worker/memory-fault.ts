import { VmMemoryError } from '@node-vmm/vm-memory';
import { VhostUserBackendError } from '../errors.ts';

/**
 * True for what is thrown where guest memory is not there: by `DescriptorChain.read`, and by devices
 * whose system call on it failed.
 */
export function isMemoryFault(error: unknown): boolean {
  return VmMemoryError.is(error, 'FAULT') || VhostUserBackendError.is(error, 'MEMORY_FAULT');
}
