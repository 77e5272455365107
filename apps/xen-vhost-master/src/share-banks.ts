import type { MemorySharing } from '@node-vmm/vhost-bridge';
import { type GuestAddress, type GuestRange, guestAddress } from '@node-vmm/vm-memory';
import type { XenBankMemory } from '@node-vmm/vm-memory/xen';
import { foreignMappings } from '@node-vmm/xen-sys';
import { checkRoom } from './foreign-room.ts';

/** Ours: back-ends that map on demand map no more than this at once, bytes. */
const LARGEST_ON_DEMAND = 2 * 1024 * 1024;
/** Bytes: more than they map at once, and little for those who map all. */
const TRIAL = 2 * LARGEST_ON_DEMAND;

/**
 * How back-ends are given a guest's banks. Those who map on demand get them as they are, and learn of holes
 * when they touch them; others map all that they are given and may not look which pages failed, so that a
 * request into a hole is their end: they get what is there now. Which is which shows in `/proc/PID/maps` once a
 * back-end has a small part of the memory; of one that cannot be looked at nothing is known, and it gets the banks.
 */
export function shareBanks(memory: XenBankMemory): MemorySharing {
  return {
    trial: { sharedRegions: memory.shared([trialOf(memory.sharedRegions)]) },
    largestOnDemand: LARGEST_ON_DEMAND,
    extents: async (signal) => ({ sharedRegions: memory.shared(await memory.extents(signal)) }),
    mappings: (pid) => foreignMappings(pid),
    checkRoom: ({ sharedRegions }) => checkRoom(sharedRegions),
  };
}

/** The beginning of the largest bank. */
function trialOf(banks: readonly { guestAddr: GuestAddress; length: bigint }[]): GuestRange {
  let largest = { guestAddr: guestAddress(0), length: 0n };
  for (const bank of banks) if (bank.length > largest.length) largest = bank;
  const { guestAddr, length } = largest;
  return { guestAddr, length: length < BigInt(TRIAL) ? length : TRIAL };
}
