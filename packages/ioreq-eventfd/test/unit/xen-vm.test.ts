import { readdirSync } from 'node:fs';
import { FakeXenGuest } from '@node-vmm/ioreq-eventfd/testing';
import { XenVm } from '@node-vmm/ioreq-eventfd/xen';
import type { LineInterrupt, NotificationMode } from '@node-vmm/vm-device';
import { runVmCases, type VmUnderTest } from '@node-vmm/vm-device/testing';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';
import { EINVAL, EPERM, ESRCH, EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { asDomId, IOREQ_TYPE_INVALIDATE } from '@node-vmm/xen-sys';
import {
  type FakeDomain,
  type FakeEvtchn,
  FakeXen,
  type FakeXenOptions,
} from '@node-vmm/xen-sys/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';

const DOMID = asDomId(7);
const BASE = 0x200_0000n;
const RANGE = { space: 'memory', base: BASE, length: 0x200 } as const;
const NOTIFY = { guestAddr: BASE + 0x50n, length: 4, datamatch: 0n } as const;
const line = (irq: number): LineInterrupt => ({ kind: 'line', irq });
const NOTHING = { read: () => 0n, write: () => undefined };

/** A fake guest and the machine that serves it. */
class Setup {
  readonly poller = new MainPoller();
  readonly memory = GuestMemoryBuffer.create([]);
  readonly logs: string[] = [];
  readonly fake: FakeXen;
  readonly domain: FakeDomain;
  readonly guest: FakeXenGuest;
  /** What the guest waits for that gives memory back. */
  invalidate: () => Promise<unknown> | undefined = () => undefined;

  constructor(options: FakeXenOptions = {}, vcpus = 4) {
    this.fake = new FakeXen({ poller: this.poller, ...options });
    this.domain = this.fake.addDomain(DOMID, { vcpus });
    this.guest = new FakeXenGuest(this.fake, this.domain);
  }

  vm(notification: NotificationMode = 'auto', domid = DOMID): XenVm {
    const note = (_: object, message: string): void => void this.logs.push(message);
    const logger = {
      debug: note,
      info: note,
      warn: note,
      error: note,
      child: () => logger,
    };
    const components = {
      xen: this.fake.host(),
      memory: () => this.memory,
      poller: this.poller,
      logger,
      invalidate: () => this.invalidate(),
    };
    const options = { domid, notification, irqs: this.guest.kind, answerLimit: 5_000 };
    return XenVm.create(components, options);
  }

  underTest(notification: NotificationMode, kernelAssisted: boolean, irq = 33): VmUnderTest {
    return {
      vm: this.vm(notification),
      ...this.guest.context(irq, kernelAssisted),
      checkReleased: () => this.guest.checkReleased(),
      close: () => this.close(),
    };
  }

  close(): void {
    this.fake.close();
    this.poller.close();
  }
}

const X86 = { arch: 'x86_64' } as const;
describe.each<{ kind: string; of: () => VmUnderTest }>([
  { kind: 'Arm, notification by the kernel', of: () => new Setup().underTest('kernel', true) },
  { kind: 'Arm, notification in user space', of: () => new Setup().underTest('user', false) },
  {
    kind: 'Arm, a kernel that cannot help',
    of: () => new Setup({ kernelEventfds: false }).underTest('auto', false),
  },
  {
    kind: 'x86 with a PVH dom0, a level-triggered line',
    of: () => new Setup({ ...X86, guestType: 'PVH' }).underTest('auto', true, 5),
  },
  {
    kind: 'x86 with a PV dom0, an edge-triggered line',
    of: () => new Setup({ ...X86, guestType: 'PV' }).underTest('auto', false, 7),
  },
  {
    kind: 'x86, notification in user space',
    of: () => new Setup(X86).underTest('user', false, 10),
  },
])('compliance of XenVm, $kind', ({ of }) => runVmCases(it, of));

describe('XenVm', () => {
  let setup = new Setup();
  afterEach(() => {
    setup.close();
    setup = new Setup();
  });
  const use = (options: FakeXenOptions): Setup => {
    setup.close();
    setup = new Setup(options);
    return setup;
  };

  it('tells once why the kernel does not help, and asks no more', () => {
    const { fake } = use({ kernelEventfds: false });
    const vm = setup.vm();
    vm.map(RANGE, NOTHING);
    using eventfd = EventFd.create();
    using other = EventFd.create();
    expect(vm.ioeventfd(NOTIFY, eventfd).kernelAssisted).toBe(false);
    expect(vm.ioeventfd({ ...NOTIFY, datamatch: 1n }, other).kernelAssisted).toBe(false);
    expect(vm.connectIrq(line(33)).irqfd(eventfd).kernelAssisted).toBe(false);
    expect(setup.logs).toEqual(['ioeventfd is done in user space', 'irqfd is done in user space']);
    expect(fake.domains.size).toBe(1);
    vm.close();
  });

  it('refuses to go without the kernel when told so, and leaves nothing behind', () => {
    use({ kernelEventfds: false });
    const vm = setup.vm('kernel');
    vm.map(RANGE, NOTHING);
    using eventfd = EventFd.create();
    const refused = expect.objectContaining({ code: 'NOT_SUPPORTED' });
    expect(() => vm.ioeventfd(NOTIFY, eventfd)).toThrow(refused);
    expect(() => vm.ioeventfd(NOTIFY, eventfd)).toThrow(refused);
    const source = vm.connectIrq(line(33));
    expect(() => source.irqfd(eventfd)).toThrow(refused);
    vm.close();
  });

  it.each([
    // The port is read, unmasked, and read until nothing is pending.
    ['kernel', { read: 2, write: 1, ioctl: 0 }, 0],
    // Its request is answered, too, and the vCPU told.
    ['user', { read: 2, write: 1, ioctl: 1 }, 1],
  ] as const)(
    'makes system calls for a notification with mode %s: %o',
    async (mode, calls, requests) => {
      const vm = setup.vm(mode);
      vm.map(RANGE, NOTHING);
      using eventfd = EventFd.create();
      vm.ioeventfd(NOTIFY, eventfd);
      const notify = async (): Promise<void> => {
        await setup.guest.write(NOTIFY.guestAddr, 4, 0n);
        await expect.poll(() => eventfd.drain(), { timeout: 15_000 }).toBe(true);
        // The loop turns until the port has been seen to.
        for (let i = 0; i < 10; i++) await new Promise(setImmediate);
      };
      // The event that a port has when it is bound.
      await notify();
      const [device] = setup.fake.eventDevices;
      const spies = (['read', 'write', 'ioctl'] as const).map((name) =>
        vi.spyOn(device as FakeEvtchn, name),
      );
      const before = vm.counters.requests;
      await notify();
      const [read, write, ioctl] = spies.map((spy) => spy.mock.calls.length);
      expect({ read, write, ioctl }).toEqual(calls);
      expect(vm.counters.requests - before).toBe(requests);
      expect(vm.kernelKicks > 0).toBe(requests === 0);
      vm.close();
    },
  );

  it('never asks the kernel of a PV domain for ioeventfds', () => {
    use({ arch: 'x86_64', guestType: 'PV' });
    const vm = setup.vm();
    vm.map(RANGE, NOTHING);
    using eventfd = EventFd.create();
    setup.fake.failNext('IOCTL_PRIVCMD_IOEVENTFD', EINVAL);
    expect(vm.ioeventfd(NOTIFY, eventfd).kernelAssisted).toBe(false);
    expect(() => setup.fake.maybeFail('IOCTL_PRIVCMD_IOEVENTFD')).toThrow();
    vm.close();
  });

  it('gives registers that the kernel does not know to user space', () => {
    const vm = setup.vm();
    vm.map(RANGE, NOTHING);
    using eventfd = EventFd.create();
    const at = (offset: bigint, rest: object): boolean =>
      vm.ioeventfd({ guestAddr: BASE + offset, length: 4, ...rest }, eventfd).kernelAssisted;
    expect(at(0x54n, { datamatch: 0n })).toBe(false);
    expect(at(0x50n, { datamatch: 0x1_0000n })).toBe(false);
    expect(at(0x50n, { datamatch: 3n })).toBe(true);
    expect(at(0x60n, {})).toBe(false);
    vm.close();
  });

  it('signals the same eventfd for a notification that the kernel let pass', async () => {
    const vm = setup.vm('kernel');
    vm.map(RANGE, NOTHING);
    using eventfd = EventFd.create();
    vm.ioeventfd(NOTIFY, eventfd);
    for (const server of setup.domain.servers.values()) {
      for (const entry of server.ioeventfds.splice(0)) entry.eventfd.close();
    }
    await setup.guest.write(NOTIFY.guestAddr, 4, 0n, { vcpu: 0 });
    expect(eventfd.drain()).toBe(true);
    vm.close();
  });

  it('has the guest wait for what it gave back', async () => {
    let letGo = (): void => undefined;
    setup.invalidate = () =>
      new Promise<void>((resolve) => {
        letGo = resolve;
        invalidates++;
      });
    let invalidates = 0;
    const vm = setup.vm('user');
    vm.map(RANGE, NOTHING);
    const type = IOREQ_TYPE_INVALIDATE;
    const access = setup.domain.access({ address: 0n, size: 8, value: 0n, type });
    await expect.poll(() => invalidates).toBe(1);
    expect(access.done).toBe(false);
    letGo();
    await access.completed;
    expect(vm.counters.invalidates).toBe(1);
    vm.close();
  });

  it('sets an SPI to 1 for each interrupt, and lowers ISA lines', () => {
    const arm = setup.vm();
    const spi = arm.connectIrq(line(33));
    spi.raise();
    spi.lower();
    spi.raise();
    arm.close();
    expect(setup.domain.irqs.map(({ level }) => level)).toEqual([true, true]);
    use({ arch: 'x86_64' });
    const x86 = setup.vm();
    const level = x86.connectIrq(line(5));
    level.raise();
    level.raise();
    level.lower();
    const edge = x86.connectIrq(line(7));
    edge.raise();
    edge.raise();
    edge.lower();
    x86.close();
    const set = setup.domain.irqs.map(({ kind, irq, level: to }) => `${kind} ${irq} ${to}`);
    const [up5, down5] = ['isa 5 true', 'isa 5 false'];
    const [up7, down7] = ['isa 7 true', 'isa 7 false'];
    expect(set).toEqual([up5, down5, up7, down7, up7, down7]);
  });

  it('takes the trigger that it is told, and refuses two for one line', () => {
    use({ arch: 'x86_64' });
    const vm = setup.vm();
    vm.connectIrq({ ...line(7), trigger: 'level' });
    vm.connectIrq({ ...line(7), trigger: 'level' });
    expect(() => vm.connectIrq(line(7))).toThrow(
      expect.objectContaining({
        code: 'IRQ_IN_USE',
        message: expect.stringMatching(/interrupt 7 of xen:7: .*trigger level.*asks for edge/),
      }),
    );
    vm.connectIrq({ ...line(10), trigger: 'edge' });
    expect(() => vm.connectIrq({ ...line(10), trigger: 'edge' })).toThrow(
      expect.objectContaining({
        code: 'IRQ_IN_USE',
        message: expect.stringMatching(/interrupt 10 .*cannot be shared; give this one another/),
      }),
    );
    vm.close();
  });

  it('refuses interrupts that the guest cannot have', () => {
    const bad = expect.objectContaining({ code: 'BAD_IRQ' });
    const arm = setup.vm();
    for (const irq of [-1, 0, 31, 1020, 1.5]) expect(() => arm.connectIrq(line(irq))).toThrow(bad);
    arm.close();
    use({ arch: 'x86_64' });
    const x86 = setup.vm();
    for (const irq of [-1, 0, 2, 8, 16]) expect(() => x86.connectIrq(line(irq))).toThrow(bad);
    x86.close();
  });

  it('tries again to set a line that the hypervisor did not set', () => {
    use({ arch: 'x86_64' });
    const vm = setup.vm();
    const source = vm.connectIrq(line(7));
    setup.fake.failNext('XEN_DMOP_set_isa_irq_level', EINVAL);
    expect(() => source.raise()).toThrow(expect.objectContaining({ code: 'HYPERVISOR' }));
    source.raise();
    expect(setup.guest.takeInterrupt(7)).toBe(true);
    vm.close();
  });

  it('refuses at once to serve ISA lines by the kernel alone, and says why', () => {
    use({ arch: 'x86_64', guestType: 'PVH' });
    expect(() => setup.vm('kernel')).toThrow(
      expect.objectContaining({
        code: 'NOT_SUPPORTED',
        message: expect.stringMatching(/can only raise an ISA line.*use notification auto/),
      }),
    );
    expect(setup.domain.servers.size).toBe(0);
    expect(setup.fake.privcmd.openMappings).toBe(0);
  });

  it('refuses windows where the guest has memory, and maps no more than the window', () => {
    const memory = expect.objectContaining({
      code: 'RANGE_IS_MEMORY',
      message: expect.stringContaining('0x40001000'),
    });
    const vm = setup.vm();
    const at = (base: bigint, length = 0x200) => vm.map({ space: 'memory', base, length }, NOTHING);
    expect(() => at(0x4000_1000n)).toThrow(memory);
    // One byte of it is enough.
    for (const [base, length] of [
      [0x3fff_f000n, 0x1001],
      [0x4100_0000n - 1n, 0x200],
    ] as const) {
      expect(() => at(base, length)).toThrow(expect.objectContaining({ code: 'RANGE_IS_MEMORY' }));
    }
    expect(setup.fake.privcmd.openMappings).toBe(1);
    at(0x4100_0000n);
    vm.close();
  });

  it.each([
    ['arm64', 0x0300_1000n, 'the GICv2 distributor'],
    ['arm64', 0x0302_0000n, 'the GICv3 redistributors'],
    ['arm64', 0x2200_0000n, 'the PL011 console'],
    ['arm64', 0x3900_0000n, "Xen's special pages"],
    ['x86_64', 0xf_fe00n, 'low memory'],
    ['x86_64', 0xfec0_0000n, 'the IO-APIC'],
    ['x86_64', 0xfed0_0000n, 'the HPET'],
    ['x86_64', 0xfee0_0000n, 'the local APIC'],
    ['x86_64', 0xfeff_8000n, "Xen's special pages"],
  ] as const)('refuses a window on %s at %i: %s', (arch, base, what) => {
    use({ arch });
    const vm = setup.vm();
    expect(() => vm.map({ space: 'memory', base, length: 0x200 }, NOTHING)).toThrow(
      expect.objectContaining({
        code: 'RANGE_RESERVED',
        message: expect.stringContaining(what),
        context: { vm: 'xen:7', space: 'memory', guestAddr: base, length: 0x200 },
      }),
    );
    vm.map(RANGE, NOTHING);
    vm.close();
  });

  it('claims ports as ports, and refuses those that Xen has', () => {
    use({ arch: 'x86_64' });
    const vm = setup.vm();
    const at = (base: bigint, length: number) => vm.map({ space: 'port', base, length }, NOTHING);
    const wiring = at(0x600n, 16);
    const [server] = setup.domain.servers.values();
    expect(server?.ranges).toEqual([{ type: 'port', start: 0x600n, end: 0x60fn }]);
    wiring.close();
    expect(server?.ranges).toEqual([]);
    for (const [base, length] of [
      [0x40n, 1],
      [0x60n, 2],
      [0xcf0n, 9],
      [0xcffn, 1],
    ] as const) {
      expect(() => at(base, length)).toThrow(
        expect.objectContaining({
          code: 'RANGE_RESERVED',
          context: { vm: 'xen:7', space: 'port', guestAddr: base, length },
        }),
      );
    }
    expect(() => at(0xcf8n, 4)).toThrow(/PCI configuration is at 0xcf8 to 0xcff; choose other/);
    at(0x62n, 14);
    vm.close();
  });

  it('leaves writes to ports to user space', async () => {
    use({ arch: 'x86_64', guestType: 'PVH' });
    const vm = setup.vm();
    vm.map({ space: 'port', base: 0x600n, length: 0x60 }, NOTHING);
    using eventfd = EventFd.create();
    const match = { space: 'port', guestAddr: 0x650n, length: 2, datamatch: 0n } as const;
    expect(vm.ioeventfd(match, eventfd).kernelAssisted).toBe(false);
    await setup.guest.write(0x650n, 2, 0n, { space: 'port' });
    expect(eventfd.drain()).toBe(true);
    vm.close();
  });

  it('claims windows without the right to map memory', () => {
    const vm = setup.vm();
    setup.fake.failNext('IOCTL_PRIVCMD_MMAPBATCH_V2', EPERM);
    vm.map(RANGE, NOTHING);
    vm.close();
  });

  it('does nothing to the guest before the first window is mapped', async () => {
    const vm = setup.vm();
    const [server] = setup.domain.servers.values();
    expect(server?.enabled).toBe(false);
    vm.map(RANGE, { read: () => 5n, write: () => undefined });
    expect(server?.enabled).toBe(true);
    expect(await setup.guest.read(BASE, 4, { vcpu: 3 })).toBe(5n);
    vm.close();
  });

  it.each(['XEN_DMOP_nr_vcpus', 'XEN_DMOP_create_ioreq_server', 'IOCTL_PRIVCMD_MMAP_RESOURCE'])(
    'leaves nothing behind when %s fails',
    (operation) => {
      setup.fake.failNext(operation, EINVAL);
      expect(() => setup.vm()).toThrow(expect.objectContaining({ code: 'HYPERVISOR' }));
      expect(setup.domain.servers.size).toBe(0);
      expect(setup.fake.privcmd.openMappings).toBe(0);
    },
  );

  it.each([
    'XEN_DMOP_map_io_range_to_ioreq_server',
    'XEN_DMOP_set_ioreq_server_state',
    'open evtchn',
    'IOCTL_EVTCHN_BIND_INTERDOMAIN',
  ])('can map a window again after %s failed', async (operation) => {
    const vm = setup.vm();
    setup.fake.failNext(operation, EINVAL);
    expect(() => vm.map(RANGE, NOTHING)).toThrow(expect.objectContaining({ code: 'HYPERVISOR' }));
    vm.map(RANGE, { read: () => 9n, write: () => undefined });
    expect(await setup.guest.read(BASE, 4, { vcpu: 0 })).toBe(9n);
    vm.close();
    expect(setup.fake.eventDevices.every((device) => !device.live)).toBe(true);
  });

  it('closes when the domain is gone, and lets go of everything', () => {
    const vm = setup.vm('kernel');
    vm.map(RANGE, NOTHING);
    using eventfd = EventFd.create();
    vm.ioeventfd(NOTIFY, eventfd);
    const source = vm.connectIrq(line(33));
    source.irqfd(eventfd);
    setup.fake.destroyDomain(DOMID);
    expect(() => source.raise()).toThrow(expect.objectContaining({ code: 'HYPERVISOR' }));
    vm.close();
    expect(setup.fake.privcmd.openMappings).toBe(0);
    expect(setup.fake.eventDevices.every((device) => !device.live)).toBe(true);
  });

  it('says what is wrong with a domain that cannot be served', () => {
    expect(() => setup.vm('auto', asDomId(99))).toThrow(
      expect.objectContaining({ code: 'HYPERVISOR', message: expect.stringContaining('99') }),
    );
    setup.fake.addDomain(8, { vcpus: 129 });
    expect(() => setup.vm('auto', asDomId(8))).toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ code: 'TOO_MANY_VCPUS' }) }),
    );
  });

  it('does not stop when an interrupt or a notification fails', async () => {
    const vm = setup.vm('user');
    vm.map(RANGE, NOTHING);
    using eventfd = EventFd.create();
    vm.connectIrq(line(33)).irqfd(eventfd);
    setup.fake.failNext('XEN_DMOP_set_irq_level', ESRCH);
    eventfd.signal();
    while (setup.logs.length === 0) await new Promise(setImmediate);
    eventfd.signal();
    await setup.guest.interrupt(33);
    setup.fake.failNext('IOCTL_EVTCHN_NOTIFY', ESRCH);
    setup.domain.access({ address: BASE, size: 4 });
    while (vm.counters.errors === 0) await new Promise(setImmediate);
    vm.close();
  });

  it('serves two guests, and one again and again, without residue', async () => {
    setup.fake.addDomain(8);
    const other = setup.vm('auto', asDomId(8));
    other.map(RANGE, NOTHING);
    setup.vm().close();
    const before = readdirSync('/proc/self/fd').length;
    for (let round = 0; round < 20; round++) {
      const vm = setup.vm();
      vm.map(RANGE, { read: () => BigInt(round), write: () => undefined });
      using eventfd = EventFd.create();
      vm.ioeventfd(NOTIFY, eventfd);
      vm.connectIrq(line(33)).irqfd(eventfd);
      expect(await setup.guest.read(BASE, 4, { vcpu: 0 })).toBe(BigInt(round));
      vm.close();
    }
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    expect(setup.domain.servers.size).toBe(0);
    other.close();
  });
});
