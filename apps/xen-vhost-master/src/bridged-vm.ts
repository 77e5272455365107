import type { Vm } from '@node-vmm/ioreq-eventfd';
import type { GuestMemory, ShareableMemory } from '@node-vmm/vm-memory';

/** A VM whose memory can be given to back-ends. */
export type BridgedVm = Vm & { readonly memory: GuestMemory & ShareableMemory };
