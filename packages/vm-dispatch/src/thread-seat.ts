import {
  type AccessSeat,
  type HostedGuest,
  type IoreqCounters,
  type IoreqRequest,
  LateValue,
  type SeatedHandler,
} from '@node-vmm/ioreq-eventfd';
import {
  type AddressRange,
  allOnes,
  type BusCounters,
  type BusHandler,
  type Held,
  type HeldTimes,
  type IoeventfdMatch,
  type IrqCarrier,
  type IrqLine,
  type LineInterrupt,
  whenOver,
} from '@node-vmm/vm-device';
import type { EventFd } from '@node-vmm/vmm-sys-util';
import { GuestMemory } from './guest-memory.ts';
import type { DeviceCall, ToMain, ToThread } from './protocol.ts';

/** Ours: milliseconds for which closing a guest waits for a thread that is busy. */
const RELEASE_MS = 2000;
/** Between two looks whether the thread has room for more. */
const LOOK_MS = 10;

/** What a seat has of its thread's handle. */
export interface ThreadSeatComponents {
  readonly id: number;
  readonly post: (message: ToThread) => void;
  /** Sends memory, before the message that it belongs to. */
  readonly lend: (memory: SharedArrayBuffer) => void;
  /** Sends what had no room yet. */
  readonly flush: () => void;
  readonly onReleased: () => void;
}

/** Hears what the thread says of a window's device. */
export interface DeviceEars {
  call(call: DeviceCall): void;
  /** Its registers go on from others. @param problem - or do not, and why */
  restored(problem: string | undefined): void;
  said(message: Extract<ToMain, { type: 'state' }>): void;
  /** The thread is gone. */
  gone(): void;
}

interface UserWiring {
  /** The owner's. */
  readonly eventfd: EventFd;
  /** The thread's. */
  readonly lent: EventFd;
}

/** The main thread's side of a guest on a dispatch thread. */
export class ThreadSeat implements AccessSeat {
  readonly counters: IoreqCounters;
  readonly bus: Readonly<BusCounters>;
  readonly #guest: HostedGuest;
  readonly #components: ThreadSeatComponents;
  readonly #memory = new GuestMemory();
  readonly #ears = new Map<number, DeviceEars>();
  readonly #wirings = new Map<number, UserWiring>();
  readonly #pausing: (() => void)[] = [];
  #next = 0;
  #live = true;
  #released: (() => void) | undefined;

  constructor(guest: HostedGuest, components: ThreadSeatComponents) {
    this.#guest = guest;
    this.#components = components;
    this.counters = this.#memory.counters;
    this.bus = this.#memory.bus;
    const { name, page, vcpus, ends, spaces, answerLimit, paused = false } = guest;
    components.lend(this.#memory.buffer);
    components.post({
      type: 'attach',
      guest: components.id,
      data: {
        name,
        page: { address: page.pointer, length: page.length },
        vcpus,
        ends,
        spaces,
        answerLimit,
        paused,
        invalidates: guest.invalidate !== undefined,
      },
    });
  }

  get live(): boolean {
    return this.#live;
  }

  get heldTimes(): HeldTimes {
    return this.#memory.heldTimes;
  }

  get idle(): number {
    return this.#memory.seat.idle;
  }

  get interrupts(): number {
    return this.#memory.seat.interrupts;
  }

  /** For devices. */
  carrierOf(interrupt: LineInterrupt): IrqCarrier {
    return this.#guest.carrierOf(interrupt);
  }

  /** @returns the guest's number for messages */
  get id(): number {
    return this.#components.id;
  }

  /** For devices: says something of theirs. */
  post(message: ToThread): void {
    if (this.#live) this.#components.post(message);
  }

  /** For devices: `ears` hears of the window from now on; `memory` comes with the next message. */
  listen(window: number, ears: DeviceEars, memory: SharedArrayBuffer): void {
    this.#ears.set(window, ears);
    if (this.#live) this.#components.lend(memory);
  }

  map(range: AddressRange, handler: BusHandler): () => void {
    const window = this.#next++;
    const guest = this.id;
    const { ready } = handler;
    this.post({ type: 'map', guest, window, range: { ...range }, gated: ready !== undefined });
    const open = (): void => this.post({ type: 'ready', guest, window });
    if (ready !== undefined) whenOver(ready, open, open);
    if ('takeSeat' in handler) (handler as SeatedHandler).takeSeat(this, window);
    return () => {
      this.#ears.delete(window);
      this.post({ type: 'unmap', guest, window });
    };
  }

  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): () => void {
    return this.#wire(eventfd, (wiring, fd) =>
      this.post({ type: 'ioeventfd', guest: this.id, wiring, match, fd }),
    );
  }

  /** A device's used buffers, by a signal that the thread waits for. @returns undoes it */
  irqfd(window: number, eventfd: EventFd): () => void {
    return this.#wire(eventfd, (wiring, fd) =>
      this.post({ type: 'irqfd', guest: this.id, wiring, window, fd }),
    );
  }

  #wire(eventfd: EventFd, say: (wiring: number, fd: EventFd['fd']) => void): () => void {
    const wiring = this.#next++;
    if (!this.#live) return () => undefined;
    // A descriptor of the thread's own: the owner may close the eventfd with the wiring.
    const lent = eventfd.clone();
    this.#wirings.set(wiring, { eventfd, lent });
    say(wiring, lent.fd);
    return () => this.post({ type: 'unwire', guest: this.id, wiring });
  }

  setIrq(irq: IrqLine, level: boolean, carrier: IrqCarrier): void {
    this.post({ type: 'irq', guest: this.id, irq, level, carrier });
  }

  async pause(): Promise<void> {
    if (!this.#live) return;
    await new Promise<void>((resolve) => {
      this.#pausing.push(resolve);
      this.post({ type: 'pause', guest: this.id });
    });
  }

  resume(): void {
    this.post({ type: 'resume', guest: this.id });
  }

  /** Does what the thread said. */
  take(message: Exclude<ToMain, { type: 'up' | 'refused' | 'log' }>): void {
    switch (message.type) {
      case 'paused':
        this.#pausing.shift()?.();
        break;
      case 'unwired':
        this.#unwired(message.wiring);
        break;
      case 'stalled':
        this.#stalled(message.wiring);
        break;
      case 'access':
        this.#access(message.id, message.request);
        break;
      case 'invalidate':
        this.#invalidate(message.id);
        break;
      case 'device':
        this.#ears.get(message.window)?.call(message.call);
        break;
      case 'restored':
        this.#ears.get(message.window)?.restored(message.problem);
        break;
      case 'state':
        this.#ears.get(message.window)?.said(message);
        break;
    }
  }

  #unwired(wiring: number): void {
    this.#wirings.get(wiring)?.lent.close();
    this.#wirings.delete(wiring);
  }

  /** Its owner has a guard, and may get rid of whoever does that. */
  #stalled(wiring: number): void {
    const { eventfd } = this.#wirings.get(wiring) ?? {};
    if (eventfd?.live === true) eventfd.signal();
  }

  /** As a dispatcher does it, for a handler of this thread. */
  #access(id: number, request: IoreqRequest): void {
    const { server } = this.#guest;
    const refuse = (): void => this.#answer(id, allOnes(request.size));
    const run = (): void => {
      try {
        const result = server.run(request);
        const { held } = result ?? {};
        const value = result?.value ?? allOnes(request.size);
        if (held === undefined) this.#answer(id, value);
        else this.#whenHeld(id, held, value);
      } catch {
        refuse();
      }
    };
    const ready = server.notReady(request);
    if (ready === undefined) run();
    else whenOver(ready, run, refuse);
  }

  /** The dispatcher there has its limit, and counts. */
  #invalidate(id: number): void {
    const done = (): void => this.#answer(id, 0n);
    try {
      const held = this.#guest.invalidate?.();
      if (held === undefined) done();
      else whenOver(held, done, done);
    } catch {
      done();
    }
  }

  #whenHeld(id: number, held: Held, value: bigint): void {
    const answer = (): void => this.#answer(id, held instanceof LateValue ? held.value : value);
    whenOver(held, answer, answer);
  }

  #answer(id: number, value: bigint): void {
    this.post({ type: 'answer', guest: this.id, id, value });
  }

  /** For devices: what they were asked is done. */
  done(id: number): void {
    this.#answer(id, 0n);
  }

  close(released: () => void): void {
    if (!this.#live) {
      released();
      return;
    }
    this.#released = released;
    this.#components.post({ type: 'detach', guest: this.id });
    this.#live = false;
    for (const paused of this.#pausing.splice(0)) paused();
    const end = performance.now() + RELEASE_MS;
    while (!this.#memory.waitReleased(LOOK_MS)) {
      // What it is told may be waiting for room; what it asks is answered with the next turn of the loop.
      this.#components.flush();
      // Whoever is that busy has it until it ends.
      if (performance.now() > end) return;
    }
    this.#release();
  }

  #release(): void {
    for (const { lent } of this.#wirings.values()) lent.close();
    this.#wirings.clear();
    this.#components.onReleased();
    const released = this.#released;
    this.#released = undefined;
    released?.();
  }

  /** The thread has ended: it uses nothing any more. */
  gone(): void {
    const wasLive = this.#live;
    this.#live = false;
    for (const paused of this.#pausing.splice(0)) paused();
    for (const ears of this.#ears.values()) ears.gone();
    this.#ears.clear();
    this.#release();
    if (wasLive) this.#guest.gone();
  }
}
