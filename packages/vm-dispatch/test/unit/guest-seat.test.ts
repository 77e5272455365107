import {
  emptyRequest,
  IOREQ_TYPE_COPY,
  IoreqPage,
  type IoreqRequest,
} from '@node-vmm/ioreq-eventfd';
import * as d from '@node-vmm/virtio-device';
import type { AddressRange } from '@node-vmm/vm-device';
import {
  EventFd,
  EventLoop,
  LoopTimers,
  Mapping,
  PAGE_SIZE,
  writeFd,
} from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeviceMemory } from '../../src/device-memory.ts';
import { deviceShape } from '../../src/device-shape.ts';
import { GuestMemory } from '../../src/guest-memory.ts';
import type { DeviceData, DeviceNews, ToMain } from '../../src/protocol.ts';
import { GuestSeat } from '../../src/thread/guest-seat.ts';
import { Serving } from '../../src/thread/serving.ts';
import { sharedSignal } from '../../src/thread/user-signal.ts';

/** `STATE_IORESP_READY` of xen/include/public/hvm/ioreq.h. */
const ANSWERED = 3;
const IRQ = 5;
const RANGE: AddressRange = { space: 'memory', base: 0x1000n, length: 0x200 };
const DEVICE: DeviceData = {
  deviceId: 34,
  vendorId: 1,
  features: d.featureWord(d.VIRTIO_F_VERSION_1),
  queueMaxSizes: [8],
  configSize: 0,
  irq: IRQ,
  carrier: 'level',
  state: undefined,
  resumed: false,
};

/** A seat whose thread is this one, which turns by hand, and whose main thread is this test. */
class Rig implements Disposable {
  readonly #mapping = Mapping.create({ length: PAGE_SIZE });
  readonly #stop = EventFd.create();
  readonly page = new IoreqPage(this.#mapping.buffer(), 2);
  readonly loop = new EventLoop(this.#stop);
  readonly memory = new GuestMemory();
  readonly logger = new MemoryLogger();
  readonly posted: ToMain[] = [];
  readonly levels: boolean[] = [];
  readonly seat: GuestSeat;
  refuses = false;
  endsOpen = true;
  #request: (vcpu: number) => void = () => undefined;

  constructor() {
    const memories = new DeviceMemory(deviceShape(DEVICE)).buffer;
    this.seat = new GuestSeat(
      {
        guest: 5,
        poller: this.loop,
        timers: new LoopTimers(this.loop),
        signals: { signal: ({ fd }) => writeFd(fd, BigUint64Array.of(1n), 8) === 8 },
        logger: this.logger,
        post: (message) => this.posted.push(message),
        serving: new Serving(new Int32Array(1)),
        channel: { take: () => undefined },
        memory: () => memories,
        openEnds: () => ({
          serve: (_loop, onRequest) => {
            this.#request = onRequest;
          },
          notify: () => undefined,
          setIrq: (_irq, level) => {
            if (this.refuses) throw new Error('no such domain');
            this.levels.push(level);
          },
          close: () => {
            this.endsOpen = false;
          },
          [Symbol.dispose]: () => undefined,
        }),
      },
      {
        name: 'guest',
        page: { address: this.#mapping.pointer, length: this.#mapping.length },
        vcpus: 2,
        ends: { kind: 'eventfds', vcpus: [], lines: [] },
        spaces: [],
        answerLimit: 60_000,
        resumed: false,
        invalidates: false,
      },
      this.memory,
    );
    this.say({ type: 'resume', guest: 5 });
    this.loop.turn(0);
    this.posted.length = 0;
  }

  say(...messages: readonly Parameters<GuestSeat['take']>[0][]): void {
    for (const message of messages) this.seat.take(message);
  }

  /** A device whose registers are here, in window 0, and whose driver runs. */
  addDevice(): void {
    this.say(
      { type: 'map', guest: 5, window: 0, range: RANGE, gated: false },
      { type: 'device', guest: 5, window: 0, data: DEVICE },
    );
    const write = (register: number, dataLow: number): void =>
      void this.ask({ addrLow: 0x1000 + register, isRead: false, dataLow });
    const driver = d.VIRTIO_CONFIG_S_ACKNOWLEDGE | d.VIRTIO_CONFIG_S_DRIVER;
    write(d.VIRTIO_MMIO_STATUS, driver);
    write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    write(d.VIRTIO_MMIO_DRIVER_FEATURES, Number(DEVICE.features >> 32n));
    write(d.VIRTIO_MMIO_STATUS, driver | d.VIRTIO_CONFIG_S_FEATURES_OK);
    const running = driver | d.VIRTIO_CONFIG_S_FEATURES_OK | d.VIRTIO_CONFIG_S_DRIVER_OK;
    write(d.VIRTIO_MMIO_STATUS, running);
  }

  post(request: Partial<IoreqRequest> = {}, vcpu = 0): void {
    const access = { addrLow: 0x1000, count: 1, size: 4, type: IOREQ_TYPE_COPY, isRead: true };
    this.page.submit(vcpu, { ...emptyRequest(), ...access, ...request });
  }

  /** Undefined where the vCPU waits. */
  ask(request: Partial<IoreqRequest> = {}, vcpu = 0): bigint | undefined {
    this.post(request, vcpu);
    this.#request(vcpu);
    return this.answer(vcpu);
  }

  /** The vCPU's answer, if there is one. */
  answer(vcpu = 0): bigint | undefined {
    return this.page.state(vcpu) === ANSWERED ? this.page.collect(vcpu) : undefined;
  }

  /** The device has something for its driver. */
  tell(what: DeviceNews): void {
    this.say({ type: 'tell', guest: 5, window: 0, what });
  }

  /** Interrupts that the devices raised. */
  get interrupts(): number {
    return this.memory.seat.interrupts;
  }

  [Symbol.dispose](): void {
    this.seat.close();
    this.loop.close();
    this.#stop.close();
    this.#mapping.close();
  }
}

describe("A guest's seat, as its thread has it", () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig[Symbol.dispose]());

  it('answers who waits for a window that is taken away', () => {
    rig.say({ type: 'map', guest: 5, window: 0, range: RANGE, gated: true });
    expect(rig.ask()).toBeUndefined();
    rig.say({ type: 'unmap', guest: 5, window: 0 });
    expect(rig.answer()).toBe(0xffff_ffffn);
  });

  it('lowers the wire of a device whose window is taken away', () => {
    rig.addDevice();
    rig.tell('queueInterrupt');
    expect(rig.levels).toEqual([true]);
    rig.say({ type: 'unmap', guest: 5, window: 0 });
    expect(rig.levels).toEqual([true, false]);
  });

  it('lets go of everything when it is closed', () => {
    rig.addDevice();
    using call = EventFd.create();
    const given = call.clone();
    rig.say({ type: 'irqfd', guest: 5, wiring: 1, window: 0, fd: given.fd });
    call.signal();
    rig.loop.turn(0);
    expect(rig.interrupts).toBe(1);
    rig.post({}, 1);
    rig.seat.close();
    expect(rig.levels.at(-1)).toBe(false);
    expect(rig.endsOpen).toBe(false);
    expect(rig.memory.waitReleased(0)).toBe(true);
    expect(rig.answer(1)).toBe(BigInt(d.VIRTIO_MMIO_MAGIC));
    // The owner may keep it: nobody here hears it any more.
    call.signal();
    rig.loop.turn(0);
    expect(rig.interrupts).toBe(1);
    given.close();
  });

  it('says when it has undone a wiring, and looks for requests that the kernel left', () => {
    rig.addDevice();
    using kick = EventFd.create();
    const match = { guestAddr: 0x1050n, length: 4, datamatch: 0n } as const;
    rig.say({ type: 'ioeventfd', guest: 5, wiring: 1, match, fd: kick.fd });
    const notify = { addrLow: 0x1050, isRead: false } as const;
    rig.ask(notify);
    expect(kick.drain()).toBe(true);
    // Announced to nobody.
    rig.post({}, 1);
    rig.say({ type: 'unwire', guest: 5, wiring: 1 });
    rig.loop.turn(0);
    expect(rig.posted.at(-1)).toEqual({ type: 'unwired', guest: 5, wiring: 1 });
    expect(rig.answer(1)).toBe(BigInt(d.VIRTIO_MMIO_MAGIC));
    rig.ask(notify);
    expect(kick.drain()).toBe(false);
  });

  it('shows an interrupt for used buffers for as long as somebody else brings them, and then not', () => {
    rig.addDevice();
    const status = (): bigint | undefined =>
      rig.ask({ addrLow: 0x1000 + d.VIRTIO_MMIO_INTERRUPT_STATUS });
    expect(status()).toBe(0n);
    rig.tell('vringAssisted');
    expect(status()).toBe(BigInt(d.VIRTIO_MMIO_INT_VRING));
    rig.tell('vringNotAssisted');
    rig.ask({ addrLow: 0x1000 + d.VIRTIO_MMIO_INTERRUPT_ACK, isRead: false, dataLow: 1 });
    expect(status()).toBe(0n);
  });

  it('says once that the guest cannot be interrupted, and goes on', () => {
    rig.addDevice();
    rig.refuses = true;
    for (let i = 0; i < 5; i++) {
      rig.say({ type: 'irq', guest: 5, irq: IRQ, level: true, carrier: 'level' });
    }
    expect(rig.logger.saying('an interrupt could not be set')).toHaveLength(1);
    expect(rig.ask()).toBe(BigInt(d.VIRTIO_MMIO_MAGIC));
    rig.refuses = false;
  });
});

it('A back-end that made an eventfd blocking is tried once, and left to the main thread from then on', () => {
  using kick = EventFd.create();
  let tries = 0;
  let stalls = 0;
  const guard = {
    signal: () => {
      tries++;
      return tries < 3;
    },
  };
  const signal = sharedSignal(kick.fd, guard, () => stalls++);
  for (let i = 0; i < 6; i++) signal.signal();
  expect([tries, stalls]).toEqual([3, 4]);
});
