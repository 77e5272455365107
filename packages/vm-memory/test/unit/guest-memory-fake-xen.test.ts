import { guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryXen, XEN_MMAP_FOREIGN } from '@node-vmm/vm-memory/xen';
import { FakeXen } from '@node-vmm/xen-sys/testing';
import { describe, expect, it } from 'vitest';
import { testGuestMemory } from '../guest-memory-rules.ts';

const LOW = 0x4000_0000n;
const HIGH = 0x2_0000_0000n;
const CANDIDATES = [
  { guestAddr: guestAddress(LOW), length: 0x4000_0000n },
  { guestAddr: guestAddress(HIGH), length: 0x4000_0000n },
];

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
  it("finds and maps a guest's RAM, and sees what the guest sees", async () => {
    using xen = new FakeXen();
    using host = xen.host();
    const domain = xen.addDomain(3, {
      banks: [
        { base: LOW, length: 0x20_0000 },
        { base: LOW + 0x30_0000n, length: 0x1000 },
        { base: HIGH, length: 0x3000 },
      ],
    });
    const options = { domid: domain.domid, mapper: host.memory, fd: host.privcmd.fd };
    // The candidates of the high bank end far over the highest frame.
    using memory = await GuestMemoryXen.discover({
      ...options,
      candidateRanges: CANDIDATES,
      maxGfn: host.maximumGpfn(domain.domid),
    });
    const shared = memory.sharedRegions;
    expect(shared.map(({ guestAddr, length }) => ({ guestAddr, length }))).toEqual([
      { guestAddr: LOW, length: 0x20_0000n },
      { guestAddr: LOW + 0x30_0000n, length: 0x1000n },
      { guestAddr: HIGH, length: 0x3000n },
    ]);
    domain.ram(HIGH + 0x1ffen, 4).set([1, 2, 3, 4]);
    expect(memory.readU32(guestAddress(HIGH + 0x1ffen))).toBe(0x0403_0201);
    memory.writeU16(guestAddress(LOW + 0x1f_fffen), 0xabcd);
    expect([...domain.ram(LOW + 0x1f_fffen, 2)]).toEqual([0xcd, 0xab]);
    expect(memory.contains(guestAddress(LOW + 0x20_0000n), 1)).toBe(false);
    expect(shared.map(({ xen: how }) => how)).toEqual(
      shared.map(() => ({ mmapFlags: XEN_MMAP_FOREIGN, domid: 3 })),
    );
  });

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
