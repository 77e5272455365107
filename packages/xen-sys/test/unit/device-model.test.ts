import { EAGAIN, EBUSY, EPERM, EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  asDomId,
  asPort,
  encodeSetIrqLevel,
  HypercallBuffers,
  IOREQ,
  Privcmd,
  type XenHost,
  XenSysError,
} from '../../src/index.ts';
import { type FakeDomain, FakeXen } from '../../src/testing/index.ts';

const dom = asDomId(1);

describe('DeviceModel and what goes with it', () => {
  let fake: FakeXen;
  let domain: FakeDomain;
  let xen: XenHost;

  beforeEach(() => {
    fake = new FakeXen();
    domain = fake.addDomain(1);
    xen = fake.host();
  });
  afterEach(() => fake.close());

  it('tries again what the hypervisor could not finish, but not for ever', () => {
    fake.failNext('IOCTL_PRIVCMD_DM_OP', EAGAIN, 3);
    expect(xen.deviceModel(dom).nrVcpus()).toBe(1);
    fake.failNext('IOCTL_PRIVCMD_DM_OP', EAGAIN, 1_000_000);
    expect(() => xen.deviceModel(dom).nrVcpus()).toThrow(/Cannot count vCPUs.*EAGAIN/);
  });

  it('names domain, action and remedy', () => {
    fake.failNext('XEN_DMOP_create_ioreq_server', EPERM);
    expect(() => xen.deviceModel(dom).createIoreqServer()).toThrow(
      /^Cannot create an IOREQ server for domain 1: EPERM \(run as root/,
    );
    expect(() => xen.deviceModel(dom).setIsaIrqLevel(5, true)).toThrow(/only x86 HVM/);
    fake.destroyDomain(dom);
    expect(() => xen.deviceModel(dom).nrVcpus()).toThrow(XenSysError);
  });

  it('logs interrupts in order', () => {
    const model = xen.deviceModel(dom);
    model.setIrqLevel(33, true);
    model.setIrqLevel(33, false);
    expect(domain.irqs).toEqual([
      { kind: 'spi', irq: 33, level: true },
      { kind: 'spi', irq: 33, level: false },
    ]);
    expect(() => model.setIrqLevel(5, true)).toThrow(RangeError);
  });

  it('unmaps the page of a resource that could not be mapped', () => {
    const id = xen.deviceModel(dom).createIoreqServer();
    fake.failNext('IOCTL_PRIVCMD_MMAP_RESOURCE', EBUSY);
    expect(() => xen.mapIoreqPage(dom, id, 1)).toThrow(XenSysError);
    expect(fake.privcmd.openMappings).toBe(0);
    const page = xen.mapIoreqPage(dom, id, 1);
    expect(fake.privcmd.openMappings).toBe(1);
    page.close();
  });

  it('refuses dm_op buffers that the kernel would refuse', () => {
    expect(() => xen.privcmd.dmOp(dom, [])).toThrow(RangeError);
    expect(() => xen.privcmd.dmOp(dom, [new Uint8Array(4097)])).toThrow(RangeError);
    const many = Array.from({ length: 17 }, () => new Uint8Array(8));
    expect(() => xen.privcmd.dmOp(dom, many)).toThrow(RangeError);
  });

  it('says what to do when there is no privcmd', () => {
    expect(() => Privcmd.open('/dev/does-not-exist')).toThrow(/CONFIG_XEN_PRIVCMD/);
    try {
      Privcmd.open('/dev/does-not-exist');
    } catch (error) {
      expect(XenSysError.is(error) && error.code).toBe('NO_PRIVCMD');
    }
    fake.privcmd.close();
    expect(() => xen.version()).toThrow(/closed/);
  });

  it('uses buffers again, zeroed, and none of them after release', () => {
    using buffers = new HypercallBuffers(() => undefined);
    const first = buffers.allocate(16);
    first.bytes.fill(0xff);
    const { pointer } = first;
    first.close();
    first.close();
    expect(buffers.pooled).toBe(1);
    expect(() => first.bytes).toThrow(XenSysError);
    using second = buffers.allocate(4096);
    expect(second.pointer).toBe(pointer);
    expect(second.bytes.every((byte) => byte === 0)).toBe(true);
    using large = buffers.allocate(5000);
    expect(large.bytes.length).toBe(5000);
    buffers.close();
    expect(() => buffers.allocate(1)).toThrow(/closed/);
  });

  describe('kernel notification', () => {
    it('signals an eventfd for its queue alone, without an ioreq', async () => {
      const model = xen.deviceModel(dom);
      const id = model.createIoreqServer();
      const base = 0x200_0000n;
      model.mapIoRangeToIoreqServer(id, { type: 'memory', start: base, end: base + 0xfffn });
      model.setIoreqServerState(id, true);
      using page = xen.mapIoreqPage(dom, id, 1);
      using events = xen.openEventChannels();
      const eport = IOREQ.get(new DataView(page.buffer()), 0, 'vp_eport');
      const ports = [events.bindInterdomain(dom, eport)];
      using eventfd = EventFd.create();
      const options = { domid: dom, page, ports, base, length: 4, vq: 1, eventfd } as const;
      const assignment = xen.notifier.ioeventfd(options);
      expect(() => xen.notifier.ioeventfd(options)).toThrow(/EBUSY/);
      const notify = (value: bigint) => domain.access({ address: base + 0x50n, size: 4, value });
      const first = notify(1n);
      // The event of a port just bound masks it, for the kernel as well.
      expect(first.done).toBe(false);
      events.pending((port) => events.unmask(port));
      expect(first.done).toBe(true);
      expect(eventfd.drain()).toBe(true);
      events.pending((port) => events.unmask(port));
      expect(notify(0n).done).toBe(false);
      expect(eventfd.drain()).toBe(false);
      assignment.close();
      assignment.close();
      expect(() => notify(1n)).toThrow(/waits for its last access/);
    });

    it('injects the operation of an irqfd whenever it is signalled', async () => {
      using poller = new MainPoller();
      using other = new FakeXen({ poller });
      const guest = other.addDomain(1);
      const notifier = other.host().notifier;
      using eventfd = EventFd.create();
      using _irqfd = notifier.irqfd({ domid: dom, dmOp: encodeSetIrqLevel(34, true), eventfd });
      const injected = new Promise<number>((resolve) => {
        guest.onIrq = ({ irq }) => resolve(irq);
      });
      eventfd.signal();
      expect(await injected).toBe(34);
    });

    it('is refused in a PV domain, where the kernel would oops, and by kernels without it', () => {
      using pv = new FakeXen({ guestType: 'PV' });
      pv.addDomain(1);
      using without = new FakeXen({ kernelEventfds: false });
      without.addDomain(1);
      using eventfd = EventFd.create();
      for (const each of [pv, without]) {
        const host = each.host();
        const id = host.deviceModel(dom).createIoreqServer();
        using page = host.mapIoreqPage(dom, id, 1);
        const ports = [asPort(1)];
        const options = { domid: dom, page, ports, base: 0n, length: 4, vq: 0, eventfd } as const;
        try {
          host.notifier.ioeventfd(options);
          expect.unreachable();
        } catch (error) {
          expect(XenSysError.is(error) && error.code).toBe('UNSUPPORTED');
        }
      }
    });
  });
});
