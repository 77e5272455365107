import {
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IoreqDispatcher,
  IoreqPage,
  type IoreqRequest,
  LateValue,
} from '@node-vmm/ioreq-eventfd';
import type { GuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import { TRANSPORT_COUNTERS, VirtioMmioTransport } from '@node-vmm/virtio-device';
import { Bus, type Buses, type Held, type WireEnd } from '@node-vmm/vm-device';
import { errorMessage, type Fd, viewOf } from '@node-vmm/vmm-sys-util';
import { DeviceMemory } from '../device-memory.ts';
import { deviceShape } from '../device-shape.ts';
import type { GuestMemory } from '../guest-memory.ts';
import type { DeviceData, DeviceNews, GuestData, ToThread } from '../protocol.ts';
import { countersIn } from '../shared-counters.ts';
import { RemoteVirtioDevice } from './remote-device.ts';
import type { SeatComponents } from './seat-components.ts';
import { SeatServer } from './seat-server.ts';
import { SeatTimers } from './seat-timers.ts';
import { SeatWindow } from './seat-window.ts';
import { SeatWires } from './seat-wires.ts';
import { sharedSignal } from './user-signal.ts';

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
  #resuming = false;
  #live = true;

  constructor(components: SeatComponents, data: GuestData, memory: GuestMemory) {
    const { poller, logger, channel, serving, guest } = components;
    this.#components = components;
    this.#memory = memory;
    const spaces = data.spaces.map((space) => [space, new Bus(space, { logger })]);
    const { bus: counters } = memory;
    this.#buses = {
      memory: new Bus('memory', { logger, counters }),
      ...Object.fromEntries(spaces),
    };
    this.#ends = components.openEnds(data.ends);
    this.#wires = new SeatWires(data.name, this.#ends, logger, data.resumed);
    // SAFETY: the main thread keeps the page mapped until the seat is closed, see GuestData.
    const page = new IoreqPage(viewOf(data.page.address, data.page.length), data.vcpus);
    if (data.resumed) page.takeOver((vcpu) => this.#ends.notify(vcpu));
    this.#dispatcher = new IoreqDispatcher(
      {
        page,
        server: new SeatServer(this.#buses, (request) => this.#forward(request)),
        notify: (vcpu) => this.#ends.notify(vcpu),
        ...(data.invalidates ? { invalidate: () => this.#invalidate() } : {}),
        counters: memory.counters,
        heldTimes: memory.heldTimes,
        logger,
        timers: new SeatTimers(components.timers, this.#serve),
      },
      { answerLimit: data.answerLimit },
    );
    // Requests find what is yet to be said of windows and wirings.
    this.#dispatcher.pause(() => undefined);
    this.#ends.serve(
      poller,
      (vcpu) => {
        // What the main thread said before this request counts for it; it may have said that the guest is gone.
        channel.take();
        serving.begin(guest);
        if (this.#live && !this.#dispatcher.service(vcpu)) memory.seat.idle++;
        serving.end();
      },
      (error) => {
        const text = 'requests cannot be heard, the guest is answered no more';
        logger.error({ error: errorMessage(error) }, text);
      },
    );
  }

  readonly #serve = (action: () => void): void => {
    const { serving, guest } = this.#components;
    serving.do(guest, action);
  };

  /** Does what the main thread said. */
  take(message: Exclude<ToThread, { type: 'attach' | 'detach' }>): void {
    this.#do(message);
    this.#memory.hear();
  }

  #do(message: Exclude<ToThread, { type: 'attach' | 'detach' }>): void {
    const { guest, post } = this.#components;
    switch (message.type) {
      case 'pause':
        this.#resuming = false;
        this.#dispatcher.pause(() => post({ type: 'paused', guest }));
        break;
      case 'resume':
        this.#resuming = true;
        this.#afterAllSaid(() => {
          if (!this.#resuming) return;
          this.#dispatcher.resume();
          post({ type: 'resumed', guest });
        });
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
        this.#afterAllSaid(() => this.#dispatcher.serviceAll());
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

  /** For what looks at requests: what was said before one was posted counts for it. */
  #afterAllSaid(action: () => void): void {
    const { timers, channel } = this.#components;
    timers.soon(() => {
      channel.take();
      if (this.#live) this.#serve(action);
    });
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
    const { poller } = this.#components;
    const watch = poller.watchSignals(fd, () =>
      this.#serve(() => this.#windows.get(window)?.window.transport?.queueInterrupt()),
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
      registers: memory.registers,
      logger: this.#components.logger,
    });
    window.transport = transport;
    if (data.resumed) transport.resume();
    else if (data.state !== undefined) {
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
