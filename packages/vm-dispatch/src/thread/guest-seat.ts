import {
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IoreqDispatcher,
  IoreqPage,
  type IoreqRequest,
  LateValue,
} from '@node-vmm/ioreq-eventfd';
import {
  type MmioTransportState,
  TRANSPORT_COUNTERS,
  VirtioMmioTransport,
} from '@node-vmm/virtio-device';
import { Bus, type Buses } from '@node-vmm/vm-device';
import {
  EventFd,
  type EventLoop,
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
import { sharedCounters } from '../shared-counters.ts';
import { RemoteVirtioDevice } from './remote-device.ts';
import { SeatServer } from './seat-server.ts';
import { SeatWindow } from './seat-window.ts';
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
}

/** A guest on its dispatch thread: its vCPUs' requests, its windows, devices and wirings. */
export class GuestSeat {
  readonly #components: SeatComponents;
  readonly #memory: GuestMemory;
  readonly #buses: Buses;
  readonly #dispatcher: IoreqDispatcher;
  readonly #lines: ReadonlyMap<number, EventFd>;
  readonly #watches: Disposable[] = [];
  readonly #windows = new Map<
    number,
    { readonly window: SeatWindow; readonly unmap: () => void }
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
    this.#buses = { memory: new Bus('memory', { logger }), ...Object.fromEntries(spaces) };
    this.#lines = new Map(data.lines.map(({ irq, fd }) => [irq, EventFd.fromFd(fd)]));
    const vcpus = data.vcpus.map(({ requestFd, answerFd }) => ({
      request: EventFd.fromFd(requestFd),
      answer: EventFd.fromFd(answerFd),
    }));
    this.#dispatcher = new IoreqDispatcher(
      {
        page: new IoreqPage(viewOf(data.page.address, data.page.length), vcpus.length),
        server: new SeatServer(this.#buses, (request) => this.#forward(request)),
        notify: (vcpu) => vcpus[vcpu]?.answer.signal(),
        counters: memory.counters,
        heldTimes: memory.heldTimes,
        logger,
        timers,
      },
      { answerLimit: data.answerLimit },
    );
    vcpus.forEach(({ request }, vcpu) => {
      // Never read: that costs a system call for each access, and a guest that shares the descriptor could block it.
      const watch = poller.watchSignals(request.fd, () => {
        // What the main thread said before this request counts for it; it may have said that the guest is gone.
        components.listen();
        if (this.#live) this.#dispatcher.service(vcpu);
      });
      this.#watches.push(watch);
    });
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
    const window = this.#windows.get(id)?.window;
    if (window === undefined) return;
    const device = new RemoteVirtioDevice(
      data,
      memory,
      (call) => post({ type: 'device', guest, window: id, call }),
      () => this.#owe(),
    );
    const transport = new VirtioMmioTransport(device, {
      interrupt: () => this.#lines.get(data.irq)?.signal(),
      configGeneration: () => memory.generation,
      counters: sharedCounters(TRANSPORT_COUNTERS, memory.counters),
      onStatus: (status) => {
        memory.status = status;
      },
      logger: this.#components.logger,
    });
    window.transport = transport;
    if (data.state !== undefined) this.#say(id, transport.state, transport.restore(data.state));
    window.open();
  }

  #say(window: number, state: MmioTransportState, problem?: string): void {
    const { guest, post } = this.#components;
    post({ type: 'state', guest, window, state, problem });
  }

  #tell(id: number, what: DeviceNews): void {
    const transport = this.#windows.get(id)?.window.transport;
    if (transport === undefined) return;
    if (what === 'state') this.#say(id, transport.state);
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
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#memory.release();
  }
}
