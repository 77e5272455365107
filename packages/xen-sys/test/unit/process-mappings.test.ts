import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { foreignMappings } from '@node-vmm/xen-sys';
import { afterEach, describe, expect, it } from 'vitest';

describe('foreignMappings', () => {
  let dir: string | undefined;
  afterEach(() => {
    if (dir !== undefined) rmSync(dir, { recursive: true });
    dir = undefined;
  });

  it('counts what is mapped of privcmd, and nothing else', () => {
    dir = mkdtempSync(join(tmpdir(), 'maps-'));
    mkdirSync(join(dir, '7'));
    const lines = [
      'aaaa00000000-aaaa00001000 r-xp 00000000 fe:01 133 /usr/bin/node',
      'ffff80000000-ffff80200000 rw-s 00000000 00:05 88                         /dev/xen/privcmd',
      'ffff80200000-ffff80201000 rw-s 00000000 00:05 88                         /dev/xen/privcmd',
      'ffff90000000-ffff90001000 rw-s 00000000 00:05 89                         /dev/xen/gntdev',
      'ffff90001000-ffff90002000 rw-p 00000000 00:00 0',
      '7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]',
    ];
    writeFileSync(join(dir, '7', 'maps'), `${lines.join('\n')}\n`);
    expect(foreignMappings(7, dir)).toEqual({ bytes: 0x20_1000, largest: 0x20_0000 });
  });

  it('finds none in this process, and knows nothing of one that is not there', () => {
    expect(foreignMappings(process.pid)).toEqual({ bytes: 0, largest: 0 });
    for (const pid of [0, -1, 2 ** 22 + 1]) expect(foreignMappings(pid)).toBeUndefined();
  });
});
