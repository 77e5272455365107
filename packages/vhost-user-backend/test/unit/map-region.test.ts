import { openSync } from 'node:fs';
import { asFd, closeFd, memfdCreate } from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';
import { mapRegion } from '../../src/control/map-region.ts';

const REGION = { guestAddr: 0n, size: 4096n, userAddr: 0n, mmapOffset: 0n };

it('a regular file is known by its identity: its sharers are one guest', () => {
  const fds = [memfdCreate('one', 4096), memfdCreate('other', 4096)] as const;
  const entries = [fds[0], fds[0], fds[1]].map((fd) => mapRegion(REGION, fd));
  const [first, again, other] = entries.map(({ file }) => file);
  expect(first).toMatch(/^\d+:\d+$/);
  expect(again).toBe(first);
  expect(other).not.toBe(first);
  for (const { memory } of entries) memory[Symbol.dispose]();
  for (const fd of fds) closeFd(fd);
});

it('what is no regular file is refused: its identity would be that of many memories', () => {
  const fd = asFd(openSync('/dev/zero', 'r+'));
  expect(() => mapRegion(REGION, fd)).toThrow('is no file');
  closeFd(fd);
});
