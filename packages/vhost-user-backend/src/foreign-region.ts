import type { MemoryRegion } from '@node-vmm/vhost-user';
import type { GuestMemory } from '@node-vmm/vm-memory';
import type { Fd } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from './errors.ts';

/** Maps a region of another Xen domain's memory. */
export function mapForeign(_region: MemoryRegion, _domid: number, _fd: Fd): GuestMemory {
  throw new VhostUserBackendError('UNSUPPORTED', 'Cannot map Xen foreign memory: not there yet');
}
