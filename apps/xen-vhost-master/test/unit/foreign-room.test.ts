import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkRoom, extendedRegions } from '../../src/foreign-room.ts';

const MIB = 2n ** 20n;

describe('room for memory of other domains', () => {
  let procfs: string;
  beforeEach(() => {
    procfs = mkdtempSync(join(tmpdir(), 'room-'));
  });
  afterEach(() => rmSync(procfs, { recursive: true }));

  /** @param regions - base and size of each */
  const deviceTree = (...regions: [bigint, bigint][]): void => {
    const reg = Buffer.alloc(16 * regions.length);
    for (const [i, [base, size]] of regions.entries()) {
      reg.writeBigUInt64BE(base, 16 * i);
      reg.writeBigUInt64BE(size, 16 * i + 8);
    }
    mkdirSync(join(procfs, 'device-tree/hypervisor'), { recursive: true });
    writeFileSync(join(procfs, 'device-tree/hypervisor/reg'), reg);
  };
  const maps = (pid: number, mebibytes: bigint): void => {
    mkdirSync(join(procfs, String(pid)));
    const end = (mebibytes * MIB).toString(16);
    const line = `0-${end} rw-s 0 00:05 88   /dev/xen/privcmd\n`;
    writeFileSync(join(procfs, String(pid), 'maps'), line);
  };
  const want = (mebibytes: bigint) => () => checkRoom([{ length: mebibytes * MIB }], { procfs });

  it('is what the device tree has after the grant table', () => {
    expect(extendedRegions(procfs)).toBeUndefined();
    deviceTree([0x3800_0000n, 0x20_0000n]);
    expect(extendedRegions(procfs)).toBeUndefined();
    deviceTree([0x3800_0000n, 0x20_0000n], [0x8000_0000n, 512n * MIB], [0x1_0000_0000n, MIB]);
    expect(extendedRegions(procfs)).toBe(513n * MIB);
  });

  it('is less what all processes have mapped', () => {
    deviceTree([0n, MIB], [0x8000_0000n, 1024n * MIB]);
    maps(7, 300n);
    maps(12, 300n);
    mkdirSync(join(procfs, '13'));
    expect(want(424n)).not.toThrow();
    expect(want(425n)).toThrow(
      expect.objectContaining({
        code: 'NO_ROOM',
        message: expect.stringMatching(/425 MiB .* room for 1024 MiB .* 600 MiB are mapped; use /),
      }),
    );
  });

  it('is not known where nobody says', () => {
    maps(7, 300n);
    expect(want(1n << 30n)).not.toThrow();
  });
});
