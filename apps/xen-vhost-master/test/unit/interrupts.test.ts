import { XenVm } from '@node-vmm/ioreq-eventfd/xen';
import * as d from '@node-vmm/virtio-device';
import { VirtioMmioTransport } from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import type { IrqTrigger, NotificationMode } from '@node-vmm/vm-device';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { asDomId } from '@node-vmm/xen-sys';
import { FakeXen } from '@node-vmm/xen-sys/testing';
import { describe, expect, it } from 'vitest';

const EVENTS = 10_000;
const RUNNING = 0xf;

type AckOrder = 'first' | 'last';

/** Deterministic, so that a failure can be repeated: mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A device with one queue, its interrupts wired as the bridge wires them, and its driver. */
class Station {
  used = 0;
  served = 0;
  readonly #transport: VirtioMmioTransport;
  readonly #call = EventFd.create();
  readonly #order: AckOrder;
  readonly #signal: () => void;

  constructor(vm: XenVm, irq: number, trigger: IrqTrigger | undefined, order: AckOrder) {
    this.#order = order;
    const line = { kind: 'line', irq } as const;
    const source = vm.connectIrq(trigger === undefined ? line : { ...line, trigger });
    this.#transport = new VirtioMmioTransport(new FakeVirtioDevice({ queueMaxSizes: [16] }), {
      interrupt: () => source.raise(),
      interruptsAcknowledged: () => source.lower(),
    });
    const write = (register: number, value: number): void =>
      void this.#transport.write(register, 4, BigInt(value));
    write(d.VIRTIO_MMIO_STATUS, 3);
    write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    write(d.VIRTIO_MMIO_DRIVER_FEATURES, 1);
    write(d.VIRTIO_MMIO_STATUS, 11);
    write(d.VIRTIO_MMIO_STATUS, RUNNING);
    const wiring = source.irqfd(this.#call, () => this.#transport.queueInterrupt());
    this.#transport.setVringInterruptsAssisted(wiring.kernelAssisted);
    // The event loop would bring the signal; here it comes at the worst moment instead.
    this.#signal = wiring.kernelAssisted
      ? () => this.#call.signal()
      : () => this.#transport.queueInterrupt();
  }

  /** The device uses a buffer. */
  event(): void {
    this.used++;
    this.#signal();
  }

  /** The driver's interrupt handler, a step at a time. */
  *handler(): Generator<void> {
    const status = this.#transport.read(d.VIRTIO_MMIO_INTERRUPT_STATUS, 4);
    yield;
    if (status === 0n) return;
    if (this.#order === 'first') {
      this.#transport.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 4, status);
      yield;
    }
    if ((status & 1n) !== 0n) this.served = this.used;
    yield;
    if (this.#order === 'last') {
      this.#transport.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 4, status);
      yield;
    }
  }

  close(): void {
    this.#call.close();
  }
}

interface Case {
  readonly name: string;
  readonly arch: 'arm64' | 'x86_64';
  readonly irq: number;
  readonly trigger?: IrqTrigger;
  readonly notification?: NotificationMode;
  readonly devices?: number;
}

const CASES: readonly Case[] = [
  { name: 'an SPI, injected by the kernel', arch: 'arm64', irq: 33, notification: 'kernel' },
  { name: 'an SPI, injected in user space', arch: 'arm64', irq: 33, notification: 'user' },
  { name: 'two devices at an SPI', arch: 'arm64', irq: 33, notification: 'user', devices: 2 },
  { name: 'a level-triggered ISA line', arch: 'x86_64', irq: 5 },
  { name: 'three devices at a level-triggered line', arch: 'x86_64', irq: 10, devices: 3 },
  { name: 'an edge-triggered ISA line', arch: 'x86_64', irq: 7 },
  { name: 'a line that the firmware made a level', arch: 'x86_64', irq: 7, trigger: 'level' },
  { name: 'a line that the firmware made an edge', arch: 'x86_64', irq: 11, trigger: 'edge' },
];

/** Runs device and guest step by step in random order until all events are there and all is quiet. */
function run(test: Case, order: AckOrder, seed: number): Station[] {
  const { arch, irq, trigger } = test;
  using poller = new MainPoller();
  // Without a poller irqfds run when told to.
  using xen = new FakeXen({ arch, guestType: arch === 'arm64' ? 'HVM' : 'PVH' });
  const domain = xen.addDomain(7);
  const kind = arch === 'arm64' ? 'spi' : 'isa';
  if (trigger === 'level') domain.interrupts.levels.add(irq);
  if (trigger === 'edge') domain.interrupts.levels.delete(irq);
  using vm = XenVm.create(
    { xen: xen.host(), poller, memory: () => GuestMemoryBuffer.create([]) },
    {
      domid: asDomId(7),
      irqs: kind,
      ...(test.notification === undefined ? {} : { notification: test.notification }),
    },
  );
  const stations = Array.from(
    { length: test.devices ?? 1 },
    () => new Station(vm, irq, trigger, order),
  );
  const next = random(seed);
  let events = 0;
  let quiet = 0;
  let handlers: Generator<void>[] | undefined;
  for (let step = 0; quiet < 20; step++) {
    if (step > 40 * EVENTS) throw new Error('the interrupt never ends');
    if (events < EVENTS && next() < 0.3) {
      events++;
      stations[Math.floor(next() * stations.length)]?.event();
      xen.runIrqfds();
      continue;
    }
    if (handlers === undefined) {
      // As Linux does for a shared interrupt: all handlers are called.
      if (domain.interrupts.take(kind, irq)) handlers = stations.map((it) => it.handler());
      else {
        // Nothing to take: so there must be nothing that an interrupt was to tell of.
        if (stations.some(({ used, served }) => served < used)) throw new Error('interrupt lost');
        if (events === EVENTS) quiet++;
      }
      continue;
    }
    if (handlers[0]?.next().done === true) handlers.shift();
    if (handlers.length > 0) continue;
    domain.interrupts.end(kind, irq);
    handlers = undefined;
  }
  expect(kind === 'isa' && domain.interrupts.isHigh(kind, irq)).toBe(false);
  for (const station of stations) station.close();
  return stations;
}

describe('a driver loses no interrupt', () => {
  for (const test of CASES) {
    it.each(['first', 'last'] as const)(`${test.name}, acknowledging %s`, (order) => {
      const stations = run(test, order, 1);
      expect(stations.reduce((sum, { used }) => sum + used, 0)).toBe(EVENTS);
    });
  }
});
