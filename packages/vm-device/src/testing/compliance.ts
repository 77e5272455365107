import { EventFd } from '@node-vmm/vmm-sys-util';
import type { IrqLine } from './irq.ts';
import type { MmioHandler } from './mmio-handler.ts';
import type { Vm } from './vm.ts';
import { codeOf, describeInterrupts } from './vm-compliance-irq.ts';

/** The functions of a test framework that the suite needs; vitest's and jest's fit. */
export interface VmTestFunctions {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => Promise<void>): void;
  expect(actual: unknown): {
    toBe(expected: unknown): void;
    toEqual(expected: unknown): void;
  };
}

/** The guest of a virtual machine under test: what a vCPU does, without blocking the test. */
export interface GuestUnderTest {
  read(guestAddr: bigint, size: number, vcpu?: number): Promise<bigint>;
  write(guestAddr: bigint, size: number, value: bigint, vcpu?: number): Promise<void>;
  /** Waits until a vCPU takes the interrupt, and ends it at once. */
  interrupt(irq: IrqLine): Promise<void>;
  /** A vCPU takes the interrupt and ends it at once, if there is one. */
  takeInterrupt(irq: IrqLine): boolean;
}

/** A virtual machine under test. */
export interface VmUnderTest {
  readonly vm: Vm;
  readonly guest: GuestUnderTest;
  /** An interrupt line that the suite may use. */
  readonly irq: IrqLine;
  /** Whether several devices may be connected to it. */
  readonly irqSharing: boolean;
  /** vCPUs, at least 2. */
  readonly vcpus: number;
  /** Whether ioeventfds are the kernel's. */
  readonly kernelAssisted: boolean;
  /** Whether irqfds are. */
  readonly interruptsAssisted: boolean;
  /** Releases what the test made besides the vm. */
  close(): void | Promise<void>;
}

/** Declares a test on a machine of its own. */
export type Scenario = (name: string, body: (subject: VmUnderTest) => Promise<void>) => void;

const BASE = 0x200_0000n;
const LENGTH = 0x200;
const NOTIFY = BASE + 0x50n;

class RecordingHandler implements MmioHandler {
  readonly accesses: string[] = [];
  held: Promise<void> | undefined;

  read(offset: number, size: number): bigint {
    this.accesses.push(`read ${offset}/${size}`);
    return 0x1122_3344_5566_7788n;
  }

  write(offset: number, size: number, value: bigint): Promise<void> | undefined {
    this.accesses.push(`write ${offset}/${size}=${value}`);
    return this.held;
  }
}

const FAILING: MmioHandler = {
  read: () => {
    throw new Error('handler fails');
  },
  write: () => Promise.reject(new Error('handler fails')),
};

/**
 * Waits for the event loop to bring a signal, which costs a few turns at most.
 *
 * @throws Error when it never comes
 */
async function signalled(eventfd: EventFd): Promise<void> {
  for (let turn = 0; turn < 10_000; turn++) {
    if (eventfd.drain()) return;
    await new Promise(setImmediate);
  }
  throw new Error('the eventfd was not signalled');
}

/**
 * What every `Vm` does, as tests.
 *
 * @param title - of the group of tests
 * @param create - a fresh machine for each test
 */
export function describeVm(
  title: string,
  test: VmTestFunctions,
  create: () => VmUnderTest | Promise<VmUnderTest>,
): void {
  const { describe, it, expect } = test;
  const scenario: Scenario = (name, body) => {
    it(name, async () => {
      const subject = await create();
      try {
        await body(subject);
      } finally {
        subject.vm.close();
        await subject.close();
      }
    });
  };

  describe(title, () => {
    scenario('hands accesses to the handler of the window', async ({ vm, guest }) => {
      const handler = new RecordingHandler();
      vm.mapMmio({ base: BASE, length: LENGTH }, handler);
      expect(await guest.read(BASE + 4n, 4)).toBe(0x5566_7788n);
      expect(await guest.read(BASE + 0x101n, 1)).toBe(0x88n);
      expect(await guest.read(BASE + 0x100n, 8)).toBe(0x1122_3344_5566_7788n);
      await guest.write(BASE + 0x70n, 4, 0xf00d_0000n);
      await guest.write(BASE + 0x1fen, 2, 0xffffn);
      expect(handler.accesses).toEqual([
        'read 4/4',
        'read 257/1',
        'read 256/8',
        'write 112/4=4027383808',
        'write 510/2=65535',
      ]);
    });

    scenario('serves every vCPU', async ({ vm, guest, vcpus }) => {
      const handler = new RecordingHandler();
      vm.mapMmio({ base: BASE, length: LENGTH }, handler);
      await Promise.all(
        Array.from({ length: vcpus }, (_, vcpu) => guest.write(BASE, 4, BigInt(vcpu), vcpu)),
      );
      expect(handler.accesses.length).toBe(vcpus);
    });

    scenario('answers a handler that fails with all ones', async ({ vm, guest }) => {
      vm.mapMmio({ base: BASE, length: LENGTH }, FAILING);
      expect(await guest.read(BASE, 4)).toBe(0xffff_ffffn);
      await guest.write(BASE, 4, 1n);
      expect(await guest.read(BASE, 2)).toBe(0xffffn);
    });

    scenario('holds the answer back until the handler lets go', async ({ vm, guest }) => {
      const handler = new RecordingHandler();
      vm.mapMmio({ base: BASE, length: LENGTH }, handler);
      let release: () => void = () => undefined;
      handler.held = new Promise((resolve) => {
        release = resolve;
      });
      let answered = false;
      const write = guest.write(BASE, 4, 1n).then(() => {
        answered = true;
      });
      while (handler.accesses.length === 0) await new Promise(setImmediate);
      await guest.read(BASE, 4, 1);
      expect(answered).toBe(false);
      release();
      await write;
      expect(answered).toBe(true);
    });

    scenario('refuses windows that overlap, and takes one that was given back', async ({ vm }) => {
      const handler = new RecordingHandler();
      const map = (base: bigint, length: number): unknown =>
        codeOf(() => vm.mapMmio({ base, length }, handler));
      const first = vm.mapMmio({ base: BASE, length: LENGTH }, handler);
      expect(map(BASE + 0x1ffn, 1)).toBe('RANGE_IN_USE');
      expect(map(BASE - 1n, 0x1000)).toBe('RANGE_IN_USE');
      expect(map(BASE, 0)).toBe('BAD_RANGE');
      expect(map(1n << 64n, 8)).toBe('BAD_RANGE');
      expect(map(BASE + 0x200n, LENGTH)).toBe(undefined);
      first.close();
      first.close();
      expect(map(BASE, LENGTH)).toBe(undefined);
    });

    scenario('signals an eventfd for the queue that is notified', async (subject) => {
      const { vm, guest } = subject;
      const handler = new RecordingHandler();
      vm.mapMmio({ base: BASE, length: LENGTH }, handler);
      const eventfds = [EventFd.create(), EventFd.create()];
      const wirings = eventfds.map((eventfd, queue) =>
        vm.ioeventfd({ guestAddr: NOTIFY, length: 4, datamatch: BigInt(queue) }, eventfd),
      );
      expect(wirings.map((wiring) => wiring.kernelAssisted)).toEqual([
        subject.kernelAssisted,
        subject.kernelAssisted,
      ]);
      await guest.write(NOTIFY, 4, 1n);
      await signalled(eventfds[1] as EventFd);
      expect(eventfds[0]?.drain()).toBe(false);
      await guest.write(NOTIFY, 4, 2n);
      await guest.write(BASE + 0x70n, 4, 1n);
      expect(handler.accesses).toEqual(['write 80/4=2', 'write 112/4=1']);
      wirings[1]?.close();
      wirings[1]?.close();
      await guest.write(NOTIFY, 4, 1n);
      expect(handler.accesses.at(-1)).toBe('write 80/4=1');
      await guest.write(NOTIFY, 4, 0n);
      await signalled(eventfds[0] as EventFd);
      for (const wiring of wirings) wiring.close();
      for (const eventfd of eventfds) eventfd.close();
    });

    scenario('refuses an ioeventfd outside windows and one that is taken', async ({ vm }) => {
      const eventfd = EventFd.create();
      const other = EventFd.create();
      const wire = (guestAddr: bigint, datamatch: bigint): unknown =>
        codeOf(() => vm.ioeventfd({ guestAddr, length: 4, datamatch }, other));
      expect(wire(NOTIFY, 0n)).toBe('NOT_MAPPED');
      vm.mapMmio({ base: BASE, length: LENGTH }, new RecordingHandler());
      vm.ioeventfd({ guestAddr: NOTIFY, length: 4, datamatch: 0n }, eventfd);
      expect(wire(NOTIFY, 0n)).toBe('IOEVENTFD_IN_USE');
      expect(wire(BASE + 0x1fen, 0n)).toBe('NOT_MAPPED');
      vm.close();
      eventfd.close();
      other.close();
    });

    describeInterrupts(scenario, expect);

    scenario('refuses everything once closed, and closes twice', async ({ vm, irq }) => {
      const handler = new RecordingHandler();
      const eventfd = EventFd.create();
      const range = { base: BASE, length: LENGTH };
      const open = [
        vm.mapMmio(range, handler),
        vm.ioeventfd({ guestAddr: NOTIFY, length: 4, datamatch: 0n }, eventfd),
        vm.connectIrq(irq).irqfd(eventfd),
      ];
      vm.close();
      vm.close();
      for (const wiring of open) wiring.close();
      expect(codeOf(() => vm.mapMmio(range, handler))).toBe('CLOSED');
      expect(codeOf(() => vm.ioeventfd({ guestAddr: NOTIFY, length: 4 }, eventfd))).toBe('CLOSED');
      expect(codeOf(() => vm.connectIrq(irq))).toBe('CLOSED');
      eventfd.close();
    });

    scenario('answers a vCPU that waits when the machine is closed', async ({ vm, guest }) => {
      const handler = new RecordingHandler();
      handler.held = new Promise(() => undefined);
      vm.mapMmio({ base: BASE, length: LENGTH }, handler);
      const write = guest.write(BASE, 4, 1n);
      while (handler.accesses.length === 0) await new Promise(setImmediate);
      vm.close();
      await write;
    });
  });
}
