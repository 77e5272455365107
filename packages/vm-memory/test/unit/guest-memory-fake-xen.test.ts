import { guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryXen } from '@node-vmm/vm-memory/xen';
import { FakeXen } from '@node-vmm/xen-sys/testing';
import { describe, expect, it } from 'vitest';
import { testGuestMemory } from '../guest-memory-rules.ts';

const LOW = 0x4000_0000n;

testGuestMemory('GuestMemoryXen on FakeXen', (ranges) => {
  const xen = new FakeXen();
  const banks = ranges.map(({ guestAddr, length }) => ({
    base: guestAddr as bigint,
    length: Number(length),
  }));
  const { domid } = xen.addDomain(1, { banks });
  return GuestMemoryXen.map({ domid, ranges, mapper: xen.host().memory });
});

describe('GuestMemoryXen on FakeXen', () => {
  it('refuses a hole and a domain that is gone', () => {
    using xen = new FakeXen();
    using host = xen.host();
    const { domid } = xen.addDomain(3, { banks: [{ base: LOW, length: 0x2000 }] });
    const ranges = [{ guestAddr: guestAddress(LOW), length: 0x4000 }];
    const map = () => GuestMemoryXen.map({ domid, ranges, mapper: host.memory });
    expect(map).toThrow(
      expect.objectContaining({
        code: 'FOREIGN_MAP_FAILED',
        context: expect.objectContaining({ count: 2, gfn: LOW / 4096n + 2n }),
      }),
    );
    xen.destroyDomain(domid);
    expect(map).toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ code: 'NO_SUCH_DOMAIN' }) }),
    );
  });
});
