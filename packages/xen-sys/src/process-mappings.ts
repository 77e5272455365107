import { readFileSync } from 'node:fs';
import { PRIVCMD_PATH } from './privcmd.ts';

/** What a process has mapped through privcmd: memory of domains. */
export interface ForeignMappings {
  /** Bytes, of all domains. */
  readonly bytes: number;
  /** Bytes of the largest mapping: the kernel never joins two of them. */
  readonly largest: number;
}

/**
 * Reads what a process has mapped of other domains, from its `/proc/PID/maps`. Throws nothing.
 *
 * @param procfs - where procfs is
 * @returns undefined where that cannot be read: the process is gone, or not to be looked at
 */
export function foreignMappings(
  pid: number,
  procfs: string = '/proc',
): ForeignMappings | undefined {
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  let maps: string;
  try {
    maps = readFileSync(`${procfs}/${pid}/maps`, 'latin1');
  } catch {
    return undefined;
  }
  let bytes = 0;
  let largest = 0;
  for (const [, start, end] of maps.matchAll(MAPPING)) {
    const length = Number.parseInt(end as string, 16) - Number.parseInt(start as string, 16);
    bytes += length;
    largest = Math.max(largest, length);
  }
  return { bytes, largest };
}

/** `start-end perms offset dev inode path`. */
const MAPPING = new RegExp(
  `^([0-9a-f]+)-([0-9a-f]+) \\S+ \\S+ \\S+ \\S+ +${PRIVCMD_PATH}(?: \\(deleted\\))?$`,
  'gm',
);
