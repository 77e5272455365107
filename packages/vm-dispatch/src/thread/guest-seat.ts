import {
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IoreqDispatcher,
  IoreqPage,
  type IoreqRequest,
  LateValue,
} from '@node-vmm/ioreq-eventfd';
import type { GuestEnds, OpenGuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import { TRANSPORT_COUNTERS, VirtioMmioTransport } from '@node-vmm/virtio-device';
import { Bus, type Buses, type Held, type WireEnd } from '@node-vmm/vm-device';
import {
  type EventLoop,
  errorMessage,
  type Fd,
  type Logger,
  type SignalGuard,
  type Timers,
  viewOf,
} from '@node-vmm/vmm-sys-util';
import { DeviceMemory } from '../device-memory.ts';
import { deviceShape } from '../device-shape.ts';
import type { GuestMemory } from '../guest-memory.ts';
import type { DeviceData, DeviceNews, GuestData, ToMain, ToThread } from '../protocol.ts';
import { countersIn } from '../shared-counters.ts';
import { RemoteVirtioDevice } from './remote-device.ts';
import { SeatServer } from './seat-server.ts';
import { SeatWindow } from './seat-window.ts';
import { SeatWires } from './seat-wires.ts';
import { sharedSignal } from './user-signal.ts';

/** What a seat has of its thread. */
export interface SeatComponents {
  readonly guest: number;
  readonly poller: EventLoop;
  readonly timers: Timers;
  readonly signals: SignalGuard;
  readonly logger: Logger;
  readonly post: (message: ToMain) => void;
  /** Takes what the main thread has said. */
  readonly listen: () => void;
  /** The memory that comes with the next `device`. */
  readonly memory: () => SharedArrayBuffer;
  readonly openEnds: OpenGuestEnds;
}

/** A guest on its dispatch thread: its vCPUs' requests, its windows, devices and wirings. */
export class GuestSeat {
  readonly #components: SeatComponents;
  readonly #memory: GuestMemory;
  readonly #buses: Buses;
  readonly #dispatcher: IoreqDispatcher;
  readonly #ends: GuestEnds;
  readonly #wires: SeatWires;
  readonly #windows = new Map<
    number,
    { readonly window: SeatWindow; readonly unmap: () => void; wire?: WireEnd }
  >();
  readonly #wirings = new Map<number, () => void>();
  /** What the main thread owes an answer for. */
  readonly #owed = new Map<number, LateValue>();
  #nextId = 0;
  #live = true;

  constructor(components: SeatComponents, data: GuestData, memory: GuestMemory) {
    const { poller, timers, logger } = components;
    this.#components = components;
    this.#memory = memory;
    const spaces = data.spaces.map((space) => [space, new Bus(space, { logger })]);
    const { bus: counters } = memory;
    this.#buses = {
      memory: new Bus('memory', { logger, counters }),
      ...Object.fromEntries(spaces),
    };
    this.#ends = components.openEnds(data.ends);
    this.#wires = new SeatWires(data.name, this.#ends, logger);
    this.#dispatcher = new IoreqDispatcher(
      {
        page: new IoreqPage(viewOf(data.page.address, data.page.length), data.vcpus),
        server: new SeatServer(this.#buses, (request) => this.#forward(request)),
        notify: (vcpu) => this.#ends.notify(vcpu),
        ...(data.invalidates ? { invalidate: () => this.#invalidate() } : {}),
        counters: memory.counters,
        heldTimes: memory.heldTimes,
        logger,
        timers,
      },
      { answerLimit: data.answerLimit },
    );
    if (data.paused) this.#dispatcher.pause(() => undefined);
    this.#ends.serve(
      poller,
      (vcpu) => {
        // What the main thread said before this request counts for it; it may have said that the guest is gone.
        components.listen();
        if (this.#live && !this.#dispatcher.service(vcpu)) memory.seat.idle++;
      },
      (error) => {
        const text = 'requests cannot be heard, the guest is answered no more';
        logger.error({ error: errorMessage(error) }, text);
      },
    );
  }

  /** Does what the main thread said. */
  take(message: Exclude<ToThread, { type: 'attach' | 'detach' }>): void {
    const { guest, post } = this.#components;
    switch (message.type) {
      case 'pause':
        this.#dispatcher.pause(() => post({ type: 'paused', guest }));
        break;
      case 'resume':
        this.#dispatcher.resume();
        break;
      case 'map':
        this.#map(message);
        break;
      case 'ready':
        this.#windows.get(message.window)?.window.open();
        break;
      case 'unmap':
        this.#unmap(message.window);
        break;
      case 'ioeventfd':
        this.#wirings.set(message.wiring, this.#ioeventfd(message));
        break;
      case 'irqfd':
        this.#wirings.set(message.wiring, this.#irqfd(message.window, message.fd));
        break;
      case 'unwire':
        this.#wirings.get(message.wiring)?.();
        this.#wirings.delete(message.wiring);
        post({ type: 'unwired', guest, wiring: message.wiring });
        // A kernel that helped until now may leave a request to nobody.
        this.#dispatcher.serviceAll();
        break;
      case 'irq':
        this.#wires.setByMain(message.irq, message.level, message.carrier);
        break;
      case 'device':
        this.#device(message.window, message.data);
        break;
      case 'tell':
        this.#tell(message.window, message.what);
        break;
      case 'answer':
        this.#answer(message.id, message.value);
        break;
    }
  }

  #map({ window: id, range, gated }: Extract<ToThread, { type: 'map' }>): void {
    const window = new SeatWindow(range, gated, (address, size, value) =>
      this.#forward({
        addrLow: Number(BigInt.asUintN(32, address)),
        addrHigh: Number(address >> 32n),
        dataLow: Number(BigInt.asUintN(32, value)),
        dataHigh: Number(value >> 32n),
        count: 1,
        size,
        type: range.space === 'port' ? IOREQ_TYPE_PIO : IOREQ_TYPE_COPY,
        isRead: false,
        dataIsPtr: false,
        backwards: false,
      }),
    );
    const bus = this.#buses[range.space];
    if (bus === undefined) throw new Error(`no address space ${range.space}`);
    this.#windows.set(id, { window, unmap: bus.map(range, window) });
  }

  #unmap(id: number): void {
    const mapped = this.#windows.get(id);
    if (mapped === undefined) return;
    this.#windows.delete(id);
    mapped.unmap();
    mapped.window.open();
    this.#wires.attempt(() => mapped.wire?.close());
  }

  #ioeventfd({ wiring, match, fd }: Extract<ToThread, { type: 'ioeventfd' }>): () => void {
    const { guest, signals, post } = this.#components;
    const stalled = (): void => post({ type: 'stalled', guest, wiring });
    const eventfd = sharedSignal(fd, signals, stalled);
    const bus = this.#buses[match.space ?? 'memory'];
    return bus?.addIoeventfd(match, eventfd) ?? (() => undefined);
  }

  #irqfd(window: number, fd: Fd): () => void {
    // Never read, as requests: whoever has it next hears of the signals again, which is no harm.
    const watch = this.#components.poller.watchSignals(fd, () =>
      this.#windows.get(window)?.window.transport?.queueInterrupt(),
    );
    return () => watch.close();
  }

  #device(id: number, data: DeviceData): void {
    const { guest, post } = this.#components;
    const memory = new DeviceMemory(deviceShape(data), this.#components.memory());
    const place = this.#windows.get(id);
    if (place === undefined) return;
    const { window } = place;
    this.#wires.attempt(() => {
      place.wire = this.#wires.connect(data.irq, data.carrier);
    });
    const device = new RemoteVirtioDevice(
      data,
      memory,
      (call) => post({ type: 'device', guest, window: id, call }),
      () => this.#owe(),
    );
    const transport = new VirtioMmioTransport(device, {
      interrupt: () => {
        place.wire?.raise();
        this.#memory.seat.interrupts++;
      },
      interruptsAcknowledged: () => place.wire?.lower(),
      configGeneration: () => memory.generation,
      counters: countersIn(TRANSPORT_COUNTERS, memory.counters),
      onStatus: (status) => {
        memory.status = status;
      },
      logger: this.#components.logger,
    });
    window.transport = transport;
    if (data.state !== undefined) {
      post({ type: 'restored', guest, window: id, problem: transport.restore(data.state) });
    }
    window.open();
  }

  #tell(id: number, what: DeviceNews): void {
    const transport = this.#windows.get(id)?.window.transport;
    if (transport === undefined) return;
    const { guest, post } = this.#components;
    if (what === 'state') post({ type: 'state', guest, window: id, state: transport.state });
    else if (what === 'vringAssisted') transport.setVringInterruptsAssisted(true);
    else if (what === 'vringNotAssisted') transport.setVringInterruptsAssisted(false);
    else transport[what]();
  }

  #owe(): { readonly id: number; readonly held: LateValue } {
    const id = this.#nextId++;
    const held = new LateValue();
    this.#owed.set(id, held);
    return { id, held };
  }

  #forward(request: IoreqRequest): LateValue {
    const { id, held } = this.#owe();
    const { guest, post } = this.#components;
    post({ type: 'access', guest, id, request: { ...request } });
    return held;
  }

  #invalidate(): Held {
    const { id, held } = this.#owe();
    const { guest, post } = this.#components;
    post({ type: 'invalidate', guest, id });
    return held;
  }

  #answer(id: number, value: bigint): void {
    const held = this.#owed.get(id);
    this.#owed.delete(id);
    held?.give(value);
  }

  /** Answers every vCPU, and lets go of all that the guest's owner has. */
  close(): void {
    this.#live = false;
    for (const unwire of this.#wirings.values()) unwire();
    this.#dispatcher.close();
    for (const { wire } of this.#windows.values()) this.#wires.attempt(() => wire?.close());
    this.#ends.close();
    this.#memory.release();
  }
}
