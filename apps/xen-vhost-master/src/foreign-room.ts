import { readdirSync, readFileSync } from 'node:fs';
import { foreignMappings } from '@node-vmm/xen-sys';
import { BridgeError } from './errors.ts';

const MIB = 1024n * 1024n;

/** Where this domain tells of itself. */
export interface RoomPaths {
  /** Default `/proc`. */
  readonly procfs?: string;
}

/**
 * Where a domain can map others' pages without giving up memory of its own: the extended regions, which Xen
 * on Arm names in the device tree from 4.16 on.
 *
 * @returns bytes; undefined where nobody says, as on x86
 */
export function extendedRegions(procfs: string = '/proc'): bigint | undefined {
  let reg: Buffer;
  try {
    reg = readFileSync(`${procfs}/device-tree/hypervisor/reg`);
  } catch {
    return undefined;
  }
  // Pairs of 64 bits, address and size (docs/misc/arm/device-tree/guest.txt of Xen); the first is the
  // grant table's.
  let bytes = 0n;
  for (let at = 16; at + 16 <= reg.length; at += 16) bytes += reg.readBigUInt64BE(at + 8);
  return bytes === 0n ? undefined : bytes;
}

/**
 * Looks whether there is room for one more back-end that maps all of a guest, as far as that can be known.
 *
 * @throws {BridgeError} NO_ROOM
 */
export function checkRoom(
  regions: readonly { readonly length: bigint }[],
  { procfs = '/proc' }: RoomPaths = {},
): void {
  const room = extendedRegions(procfs);
  if (room === undefined) return;
  const wanted = regions.reduce((sum, { length }) => sum + length, 0n);
  const mapped = allMapped(procfs);
  if (mapped + wanted <= room) return;
  throw new BridgeError(
    'NO_ROOM',
    `Cannot share ${wanted / MIB} MiB of guest memory with a back-end that maps all of it: this domain has ` +
      `room for ${room / MIB} MiB of other domains' memory, and ${mapped / MIB} MiB are mapped; use ` +
      'back-ends that map on demand, as those of this project, smaller guests or fewer devices',
  );
}

/** What all processes here have mapped of other domains, bytes. */
function allMapped(procfs: string): bigint {
  let bytes = 0n;
  for (const name of readdirSync(procfs)) {
    if (!/^[0-9]+$/.test(name)) continue;
    bytes += BigInt(foreignMappings(Number(name), procfs)?.bytes ?? 0);
  }
  return bytes;
}
