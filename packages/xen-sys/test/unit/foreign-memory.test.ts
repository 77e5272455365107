import { ENOMEM } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asDomId, ForeignMemory, XenSysError } from '../../src/index.ts';
import { type FakeDomain, FakeXen } from '../../src/testing/index.ts';

const RAM = 0x40000n;

describe('ForeignMemory', () => {
  let fake: FakeXen;
  let domain: FakeDomain;

  beforeEach(() => {
    fake = new FakeXen();
    domain = fake.addDomain(3);
  });
  afterEach(() => fake.close());

  const code = (action: () => unknown): string => {
    try {
      action();
    } catch (error) {
      return XenSysError.is(error) ? error.code : String(error);
    }
    return 'no error';
  };

  it('maps over several chunks side by side, a short last one included', () => {
    const memory = new ForeignMemory(fake.privcmd, { chunk: 3 });
    for (let i = 0; i < 8; i++) domain.ram((RAM + BigInt(i)) << 12n, 1)[0] = i + 1;
    using mapped = memory.map(asDomId(3), { first: RAM, count: 8 });
    const bytes = new Uint8Array(mapped.mapping.buffer());
    expect(Array.from({ length: 8 }, (_, i) => bytes[i * 4096])).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(mapped.failed).toBe(0);
    bytes[4096 * 7 + 9] = 99;
    expect(domain.ram(((RAM + 7n) << 12n) + 9n, 1)[0]).toBe(99);
  });

  it('tells failed pages of every chunk although the ioctl returns 0', () => {
    const memory = new ForeignMemory(fake.privcmd, { chunk: 2 });
    const gfns = BigUint64Array.of(RAM, 1n, RAM + 1n, RAM + 2n, 2n);
    using mapped = memory.map(asDomId(3), gfns);
    expect([...mapped.errors]).toEqual([0, -22, 0, 0, -22]);
    expect(mapped.failed).toBe(2);
  });

  it('tries frames that are paged out again, and gives up on those that stay away', () => {
    const memory = new ForeignMemory(fake.privcmd);
    domain.pagedOut.set(RAM + 1n, 3);
    using back = memory.map(asDomId(3), { first: RAM, count: 3 });
    expect([...back.errors]).toEqual([0, 0, 0]);
    domain.pagedOut.set(RAM + 1n, 1_000_000);
    using away = memory.map(asDomId(3), { first: RAM, count: 3 });
    expect([...away.errors]).toEqual([0, -2, 0]);
  });

  it('leaves nothing mapped when the ioctl itself fails', () => {
    const memory = new ForeignMemory(fake.privcmd);
    fake.failNext('IOCTL_PRIVCMD_MMAPBATCH_V2', ENOMEM);
    expect(code(() => memory.map(asDomId(3), { first: RAM, count: 2 }))).toBe('FAILED');
    expect(code(() => memory.map(asDomId(4), { first: RAM, count: 2 }))).toBe('NO_SUCH_DOMAIN');
    expect(fake.privcmd.openMappings).toBe(0);
  });

  it('refuses a domain other than the one it is restricted to', () => {
    fake.addDomain(5);
    const host = fake.host();
    host.privcmd.restrict(asDomId(3));
    host.memory.map(asDomId(3), { first: RAM, count: 1 }).close();
    expect(code(() => host.memory.map(asDomId(5), { first: RAM, count: 1 }))).toBe('NOT_PERMITTED');
    expect(code(() => host.maximumGpfn(asDomId(3)))).toBe('NOT_PERMITTED');
    expect(code(() => host.privcmd.restrict(asDomId(5)))).toBe('INVALID');
  });

  it('refuses no frames and ranges past the address space', () => {
    const memory = new ForeignMemory(fake.privcmd);
    expect(() => memory.map(asDomId(3), { first: 0n, count: 0 })).toThrow(RangeError);
    expect(() => memory.map(asDomId(3), new BigUint64Array(0))).toThrow(RangeError);
    expect(() => memory.map(asDomId(3), { first: -1n, count: 1 })).toThrow(RangeError);
  });
});
