import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { EventFd, PROT_READ, PROT_WRITE } from '@node-vmm/vmm-sys-util';
import type { ComplianceCase } from '@node-vmm/vmm-sys-util/testing';
import { HVM_PARAM_STORE_PFN } from '../abi/hvm.ts';
import { IOREQ, IOREQ_BITS_DIR, STATE_IORESP_READY } from '../abi/ioreq.ts';
import { XEN_PAGE_SIZE } from '../abi/xen.ts';
import type { DeviceModelOps, IoRange } from '../device-model.ts';
import { encodeSetIrqLevel, encodeSetIsaIrqLevel } from '../dm-op-codec.ts';
import { XenSysError, type XenSysErrorCode } from '../errors.ts';
import type { EventChannelOps } from '../event-channels.ts';
import type { GfnRange } from '../foreign-memory.ts';
import { asIoServId, type DomId, type IoServId, type Port } from '../ids.ts';
import type { Assignment } from '../kernel-notification.ts';
import type { XenOps } from '../xen-host.ts';

/** What a run of the suite works on. */
export interface XenComplianceContext {
  readonly xen: XenOps;
  readonly arch: 'arm64' | 'x86_64';
  /** A domain that we may map and serve. Nothing else may serve `mmio`. */
  readonly domid: DomId;
  /** No domain has this id. */
  readonly missingDomid: DomId;
  /** At least four frames of its RAM, which it does not use. */
  readonly ram: GfnRange;
  /** A frame where it has nothing. */
  readonly hole: bigint;
  /** Guest physical address of 8 KiB where it has nothing; page-aligned. */
  readonly mmio: bigint;
  /** An interrupt line that the guest has (on Arm: within its `nr_spis`) and ignores. */
  readonly irq: number;
  /** Has the guest read `size` bytes at an address; absent when nothing makes it do so. */
  readonly read?: (address: bigint, size: number) => Promise<bigint>;
  /** Has the guest write 4 bytes; absent as well. */
  readonly write?: (address: bigint, value: number) => Promise<void>;
}

/** One rule that every implementation of {@link XenOps} keeps. */
export interface XenComplianceCase extends ComplianceCase<XenComplianceContext> {
  /** Needs `context.read` and `context.write`. */
  readonly needsGuest?: boolean;
}

function refuses(code: XenSysErrorCode, action: () => unknown): void {
  throws(action, (error) => {
    ok(XenSysError.is(error), `expected a XenSysError, got ${String(error)}`);
    equal(error.code, code, error.message);
    return true;
  });
}

function withServer(
  context: XenComplianceContext,
  use: (model: DeviceModelOps, id: IoServId) => void,
): void {
  const model = context.xen.deviceModel(context.domid);
  const id = model.createIoreqServer();
  try {
    use(model, id);
  } finally {
    model.destroyIoreqServer(id);
  }
}

/** Takes events for as long as something is under way. */
async function serving(events: EventChannelOps, work: Promise<void> | undefined): Promise<void> {
  let over = false;
  const ended = Promise.resolve(work).finally(() => {
    over = true;
  });
  while (!over) {
    events.pending((port) => events.unmask(port));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await ended;
}

const window = (context: XenComplianceContext): IoRange => ({
  type: 'memory',
  start: context.mmio,
  end: context.mmio + 0xfffn,
});

/** The suite, as data: run each case with any test runner, on the fake and on real Xen alike. */
export const xenComplianceCases: readonly XenComplianceCase[] = [
  {
    section: 'hypervisor',
    name: 'tells the version of the hypervisor',
    async run({ xen }) {
      const version = xen.version();
      ok(version.major >= 4);
      ok(version.capabilities.length > 0);
    },
  },
  {
    section: 'domain',
    name: 'tells the highest frame, which is at least the RAM',
    async run({ xen, domid, ram, missingDomid }) {
      ok(xen.maximumGpfn(domid) >= ram.first + BigInt(ram.count) - 1n);
      refuses('NO_SUCH_DOMAIN', () => xen.maximumGpfn(missingDomid));
    },
  },
  {
    section: 'domain',
    name: 'tells how many pages it may have, which is at least the RAM',
    async run({ xen, domid, ram, missingDomid }) {
      ok(xen.maximumReservation(domid) >= BigInt(ram.count));
      refuses('NO_SUCH_DOMAIN', () => xen.maximumReservation(missingDomid));
    },
  },
  {
    section: 'domain',
    name: 'reads an HVM parameter, and refuses what is not there',
    async run({ xen, domid, missingDomid }) {
      ok(xen.hvmParam(domid, HVM_PARAM_STORE_PFN) > 0n);
      refuses('NO_SUCH_DOMAIN', () => xen.hvmParam(missingDomid, HVM_PARAM_STORE_PFN));
      refuses('INVALID', () => xen.hvmParam(domid, 0xffff));
    },
  },
  {
    section: 'domain',
    name: 'counts vCPUs, and refuses a domain that is not there',
    async run({ xen, domid, missingDomid }) {
      ok(xen.deviceModel(domid).nrVcpus() >= 1);
      refuses('NO_SUCH_DOMAIN', () => xen.deviceModel(missingDomid).nrVcpus());
    },
  },
  {
    section: 'foreign memory',
    name: 'maps frames in any order, twice the same memory',
    async run({ xen, domid, ram }) {
      using forward = xen.memory.map(domid, { first: ram.first, count: 4 });
      const gfns = BigUint64Array.from([3n, 2n, 1n, 0n], (i) => ram.first + i);
      using backward = xen.memory.map(domid, gfns, PROT_READ | PROT_WRITE);
      deepEqual([...forward.errors, ...backward.errors], [0, 0, 0, 0, 0, 0, 0, 0]);
      equal(forward.failed, 0);
      const a = new Uint8Array(forward.mapping.buffer());
      const b = new Uint8Array(backward.mapping.buffer());
      const saved = a[5] as number;
      a[5] = 0xa5;
      equal(b[3 * XEN_PAGE_SIZE + 5], 0xa5);
      a[5] = saved;
    },
  },
  {
    section: 'foreign memory',
    name: 'tells which frames are not there, page by page',
    async run({ xen, domid, ram, hole }) {
      const gfns = BigUint64Array.of(ram.first, hole, ram.first + 1n);
      using mapped = xen.memory.map(domid, gfns, PROT_READ);
      equal(mapped.errors[0], 0);
      ok((mapped.errors[1] as number) < 0);
      equal(mapped.errors[2], 0);
      equal(mapped.failed, 1);
    },
  },
  {
    section: 'foreign memory',
    name: 'refuses to map memory of a domain that is not there',
    async run({ xen, missingDomid, ram }) {
      refuses('NO_SUCH_DOMAIN', () => xen.memory.map(missingDomid, ram));
    },
  },
  {
    section: 'ioreq servers',
    name: 'creates and destroys IOREQ servers with numbers of their own',
    async run(context) {
      withServer(context, (model, first) => {
        const second = model.createIoreqServer();
        ok(second !== first);
        model.getIoreqServerInfo(second);
        model.destroyIoreqServer(second);
        refuses('NOT_FOUND', () => model.destroyIoreqServer(second));
        refuses('NOT_FOUND', () => model.setIoreqServerState(second, true));
      });
    },
  },
  {
    section: 'ioreq servers',
    name: 'claims a range once per server, and can claim it again after giving it back',
    async run(context) {
      withServer(context, (model, id) => {
        const range = window(context);
        model.mapIoRangeToIoreqServer(id, range);
        refuses('IN_USE', () => model.mapIoRangeToIoreqServer(id, range));
        model.unmapIoRangeFromIoreqServer(id, range);
        refuses('NOT_FOUND', () => model.unmapIoRangeFromIoreqServer(id, range));
        model.mapIoRangeToIoreqServer(id, range);
      });
    },
  },
  {
    section: 'ioreq servers',
    name: 'maps the ioreq page of a server, and of no other',
    async run(context) {
      const { xen, domid } = context;
      withServer(context, (model, id) => {
        using page = xen.mapIoreqPage(domid, id, model.nrVcpus());
        equal(page.length, XEN_PAGE_SIZE);
        model.setIoreqServerState(id, true);
        ok(IOREQ.get(new DataView(page.buffer()), 0, 'vp_eport') > 0);
        refuses('TOO_MANY_VCPUS', () => xen.mapIoreqPage(domid, id, 129));
        throws(() => xen.mapIoreqPage(domid, asIoServId(0xfff0), 1), XenSysError);
      });
    },
  },
  {
    section: 'event channels',
    name: 'binds the port of a vCPU once, and frees it with unbind',
    async run(context) {
      const { xen, domid, missingDomid } = context;
      withServer(context, (model, id) => {
        using page = xen.mapIoreqPage(domid, id, model.nrVcpus());
        model.setIoreqServerState(id, true);
        const remote = IOREQ.get(new DataView(page.buffer()), 0, 'vp_eport');
        using events = xen.openEventChannels();
        const port = events.bindInterdomain(domid, remote);
        throws(() => events.bindInterdomain(domid, remote), XenSysError);
        refuses('NO_SUCH_DOMAIN', () => events.bindInterdomain(missingDomid, remote));
        events.notify(port);
        events.unmask(port);
        events.unbind(port);
        refuses('FAILED', () => events.notify(port));
        let reported = 0;
        while (events.pending(() => reported++) > 0);
        equal(reported, 0, 'an unbound port is not reported');
      });
    },
  },
  {
    section: 'interrupts',
    name: 'sets interrupt lines of its architecture and refuses the others',
    async run({ xen, domid, irq, arch }) {
      const model = xen.deviceModel(domid);
      const [own, other] =
        arch === 'arm64'
          ? [() => model.setIrqLevel(irq, true), () => model.setIsaIrqLevel(5, true)]
          : [() => model.setIsaIrqLevel(irq, true), () => model.setIrqLevel(40, true)];
      own();
      refuses('UNSUPPORTED', other);
    },
  },
  {
    section: 'interrupts',
    name: 'assigns an irqfd once, and again after it was closed',
    async run({ xen, domid, irq, arch }) {
      using eventfd = EventFd.create();
      const dmOp =
        arch === 'arm64' ? encodeSetIrqLevel(irq, true) : encodeSetIsaIrqLevel(irq, true);
      try {
        xen.notifier.irqfd({ domid, dmOp, eventfd }).close();
      } catch (error) {
        if (XenSysError.is(error, 'UNSUPPORTED')) return;
        throw error;
      }
      using _assigned = xen.notifier.irqfd({ domid, dmOp, eventfd });
      refuses('IN_USE', () => xen.notifier.irqfd({ domid, dmOp, eventfd }));
    },
  },
  {
    section: 'ioreq servers',
    name: "answers a guest's read through the ioreq page",
    needsGuest: true,
    async run(context) {
      const { xen, domid } = context;
      const model = xen.deviceModel(domid);
      const id = model.createIoreqServer();
      try {
        using page = xen.mapIoreqPage(domid, id, model.nrVcpus());
        const view = new DataView(page.buffer());
        model.mapIoRangeToIoreqServer(id, window(context));
        model.setIoreqServerState(id, true);
        using events = xen.openEventChannels();
        const ports: Port[] = [];
        for (let vcpu = 0; vcpu < model.nrVcpus(); vcpu++) {
          const eport = IOREQ.get(view, vcpu * IOREQ.SIZE, 'vp_eport');
          ports.push(events.bindInterdomain(domid, eport));
        }
        const answer = context.read?.(context.mmio + 0x10n, 4);
        let served = false;
        while (!served) {
          events.pending((port) => {
            events.unmask(port);
            const base = ports.indexOf(port) * IOREQ.SIZE;
            if (IOREQ.get(view, base, 'bits') !== (1 | IOREQ_BITS_DIR)) return;
            equal(IOREQ.getBig(view, base, 'addr'), context.mmio + 0x10n);
            equal(IOREQ.get(view, base, 'size'), 4);
            IOREQ.set(view, base, 'data', 0x1234_5678n);
            IOREQ.set(view, base, 'bits', STATE_IORESP_READY | IOREQ_BITS_DIR);
            events.notify(port);
            served = true;
          });
          if (!served) await new Promise((resolve) => setTimeout(resolve, 1));
        }
        equal(await answer, 0x1234_5678n);
      } finally {
        model.destroyIoreqServer(id);
      }
    },
  },
  {
    section: 'ioreq servers',
    name: "signals an eventfd for a guest's write to QueueNotify, in the kernel",
    needsGuest: true,
    async run(context) {
      const { xen, domid, mmio } = context;
      const model = xen.deviceModel(domid);
      const id = model.createIoreqServer();
      try {
        using page = xen.mapIoreqPage(domid, id, model.nrVcpus());
        const view = new DataView(page.buffer());
        model.mapIoRangeToIoreqServer(id, window(context));
        model.setIoreqServerState(id, true);
        using events = xen.openEventChannels();
        const ports = Array.from({ length: model.nrVcpus() }, (_, vcpu) =>
          events.bindInterdomain(domid, IOREQ.get(view, vcpu * IOREQ.SIZE, 'vp_eport')),
        );
        using eventfd = EventFd.create();
        const options = { domid, page, ports, base: mmio, length: 4, vq: 3, eventfd } as const;
        let assignment: Assignment;
        try {
          assignment = xen.notifier.ioeventfd(options);
        } catch (error) {
          if (XenSysError.is(error, 'UNSUPPORTED')) return;
          throw error;
        }
        try {
          refuses('IN_USE', () => xen.notifier.ioeventfd(options));
          for (let i = 0; i < 2; i++) {
            await serving(events, context.write?.(mmio + 0x50n, 3));
            ok(eventfd.drain(), 'the eventfd was not signalled');
          }
        } finally {
          assignment.close();
        }
      } finally {
        model.destroyIoreqServer(id);
      }
    },
  },
];
