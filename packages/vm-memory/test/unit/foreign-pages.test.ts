import { readFileSync } from 'node:fs';
import { guestAddress } from '@node-vmm/vm-memory';
import { ForeignPages, mapForeign } from '@node-vmm/vm-memory/xen';
import { closeFd, memfdCreate, openFd } from '@node-vmm/vmm-sys-util';
import { XenSysError } from '@node-vmm/xen-sys';
import { expect, it } from 'vitest';

it('says why nothing could be mapped, and leaves nothing', async () => {
  // What is no driver of Xen's does not know the call.
  const fd = memfdCreate('no-privcmd', 8192);
  await expect(ForeignPages.map(7, fd, 0n, 2)).rejects.toSatisfy((error) =>
    XenSysError.is(error, 'UNSUPPORTED'),
  );
  expect(readFileSync('/proc/self/maps', 'latin1')).not.toContain('memfd:no-privcmd');
  closeFd(fd);
});

it('asks no other driver than privcmd', async () => {
  const zero = openFd('/dev/zero');
  const range = { domid: 7, fd: zero, guestAddr: guestAddress(0), length: 4096n };
  await expect(mapForeign(range)).rejects.toMatchObject({ code: 'BAD_REGION' });
  closeFd(zero);
});
