import { MemoryLogger } from '@node-vmm/vhost-bridge/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { HVM_PARAM_NR_IOREQ_SERVER_PAGES } from '@node-vmm/xen-sys';
import { type FakeDomain, FakeXen } from '@node-vmm/xen-sys/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { attachXenGuest } from '../../src/attach-xen-guest.ts';

const X86 = process.arch === 'x64';

describe('attachXenGuest', () => {
  const open: Disposable[] = [];
  afterEach(() => {
    for (const it of open.splice(0).reverse()) it[Symbol.dispose]();
  });

  const setUp = (prepare: (domain: FakeDomain) => void = () => undefined) => {
    const poller = new MainPoller();
    const xen = new FakeXen({ arch: X86 ? 'x86_64' : 'arm64', guestType: 'PVH' });
    open.push(poller, xen);
    prepare(xen.addDomain(3));
    const logger = new MemoryLogger();
    return { components: { xen: xen.host(), poller, logger }, logger, xen };
  };
  const warnings = (logger: MemoryLogger): string[] =>
    logger.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);

  it('serves the guest before its memory is there, and tells who waits for that of failures', async () => {
    const { components, logger } = setUp();
    const { vm, memory } = attachXenGuest(components, 3, { notification: 'auto', holdMs: 20_000 });
    open.push(vm);
    expect(logger.saying('guest attached')).toHaveLength(1);
    expect(() => vm.memory).toThrow(expect.objectContaining({ code: 'NOT_READY' }));
    // This machine has no privcmd to give to back-ends.
    await expect(memory).rejects.toMatchObject({ code: expect.any(String) });
  });

  it('tries again to map memory that could not be mapped, for the next device that asks', async () => {
    const { components } = setUp();
    const guest = attachXenGuest(components, 3, { notification: 'auto', holdMs: 20_000 });
    open.push(guest.vm);
    const first = guest.memory;
    expect(guest.memory).toBe(first);
    await expect(first).rejects.toThrow();
    const second = guest.memory;
    expect(second).not.toBe(first);
    await expect(second).rejects.toThrow();
  });

  it('says whether somebody else serves the guest', () => {
    const { components } = setUp();
    const attach = () => attachXenGuest(components, 3, { notification: 'auto', holdMs: 20_000 });
    const first = attach();
    expect(first.shared?.()).toBe(false);
    open.push(first.vm, attach().vm);
    expect(first.shared?.()).toBe(true);
  });

  it.skipIf(!X86)('warns once of saving and migrating a guest (only x86 has either)', () => {
    const { components, logger } = setUp();
    open.push(attachXenGuest(components, 3, { notification: 'auto', holdMs: 20_000 }).vm);
    expect(warnings(logger)).toEqual([expect.stringContaining('nomigrate=1')]);
  });

  it.skipIf(!X86)('says of a PVH guest that no interrupt will reach it (only x86 has them)', () => {
    const { components, logger } = setUp((domain) => {
      domain.hvmParams.set(HVM_PARAM_NR_IOREQ_SERVER_PAGES, 0n);
    });
    open.push(attachXenGuest(components, 3, { notification: 'auto', holdMs: 20_000 }).vm);
    expect(warnings(logger)).toContainEqual(expect.stringMatching(/PVH guest: it has no IO-APIC/));
  });

  it.skipIf(!X86)('attaches to a guest whose kind it may not ask for (only x86 asks)', () => {
    const { components, logger } = setUp((domain) => domain.hvmParams.clear());
    open.push(attachXenGuest(components, 3, { notification: 'user', holdMs: 20_000 }).vm);
    expect(warnings(logger)).toHaveLength(1);
  });

  it.skipIf(!X86)('refuses to serve it by the kernel alone (Arm can be)', () => {
    const { components, xen } = setUp();
    expect(() => attachXenGuest(components, 3, { notification: 'kernel', holdMs: 20_000 })).toThrow(
      expect.objectContaining({ code: 'NOT_SUPPORTED' }),
    );
    expect(xen.privcmd.openMappings).toBe(0);
  });
});
