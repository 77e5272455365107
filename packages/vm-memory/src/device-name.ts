import { type BigIntStats, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/**
 * What the kernel calls a character device, whatever name it was opened by: `xen!privcmd`.
 *
 * @returns undefined for what is none, or is not known to the kernel by a name
 */
export function deviceName(stat: BigIntStats): string | undefined {
  if (!stat.isCharacterDevice()) return undefined;
  const major = (stat.rdev >> 8n) & 0xfffn;
  const minor = (stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n);
  try {
    return basename(readlinkSync(`/sys/dev/char/${major}:${minor}`));
  } catch {
    return undefined;
  }
}
