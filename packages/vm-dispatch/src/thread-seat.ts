import type {
  AccessSeat,
  HostedGuest,
  IoreqCounters,
  SeatedHandler,
} from '@node-vmm/ioreq-eventfd';
import {
  type AddressRange,
  type BusCounters,
  type BusHandler,
  type HeldTimes,
  type IoeventfdMatch,
  type IrqCarrier,
  type IrqLine,
  type LineInterrupt,
  whenOver,
} from '@node-vmm/vm-device';
import type { EventFd } from '@node-vmm/vmm-sys-util';
import { Asked } from './asked.ts';
import { DeathLimit } from './death-limit.ts';
import { GoneWord } from './gone-word.ts';
import { guestData } from './guest-data.ts';
import { GuestMemory } from './guest-memory.ts';
import { OwnerRequests } from './owner-requests.ts';
import { expectSoon } from './patience.ts';
import { Pauses } from './pauses.ts';
import type { SeatMessage, ToMain, ToThread } from './protocol.ts';
import type { SeatThread } from './seat-thread.ts';
import { SeatWirings } from './seat-wirings.ts';
import type { SeatedDevice } from './seated-device.ts';
import { ToldWindows } from './told-windows.ts';
import { UnheardEvents } from './unheard-events.ts';
import { waitReleased } from './wait-released.ts';

/** Ours: deaths of threads that a guest may have caused, within {@link DEATHS_MS}, before no other gets it. */
const MAX_DEATHS = 2;
/** Ours: milliseconds. */
const DEATHS_MS = 60_000;

/**
 * The main thread's side of a guest on a dispatch thread. All that the thread is told is known here, too, so
 * that another can have the guest when it dies.
 */
export class ThreadSeat implements AccessSeat {
  readonly counters: IoreqCounters;
  readonly bus: Readonly<BusCounters>;
  readonly #guest: HostedGuest;
  readonly #memory = new GuestMemory();
  readonly #windows = new ToldWindows((message) => this.post(message));
  readonly #wirings = new SeatWirings((message) => void this.post(message));
  readonly #asked = new Asked((id, value) => this.post({ type: 'answer', id, value }));
  /** Wires that devices of the main thread have a say in. */
  readonly #wires = new Map<IrqLine, { readonly level: boolean; readonly carrier: IrqCarrier }>();
  readonly #deaths = new DeathLimit(MAX_DEATHS, DEATHS_MS);
  readonly #pauses = new Pauses();
  readonly #unheard = new UnheardEvents();
  readonly #requests: OwnerRequests;
  readonly #goneWord: GoneWord;
  /** Undefined before the first, and while its thread is dead and it has no other. */
  #thread: SeatThread | undefined;
  #moves = false;
  #paused: boolean;
  /** Its thread runs nothing any more, and has not ended. */
  #abandoned = false;
  #posted = 0;
  #next = 0;
  #live = true;
  #released: (() => void) | undefined;

  constructor(guest: HostedGuest) {
    this.#guest = guest;
    this.#requests = new OwnerRequests(guest);
    this.#goneWord = new GoneWord(() => guest.gone());
    this.#paused = guest.paused === true;
    this.counters = this.#memory.counters;
    this.bus = this.#memory.bus;
  }

  get name(): string {
    return this.#guest.name;
  }

  /** A thread has the guest from now on. */
  attach(thread: SeatThread): void {
    const resumed = this.#moves;
    this.#moves = true;
    this.#thread = thread;
    this.#posted = 0;
    thread.lend(this.#memory.buffer);
    thread.post({ type: 'attach', guest: thread.id, data: guestData(this.#guest, resumed) });
    this.#tellAll();
  }

  /** What was said before there was a thread, and to another that has died. */
  #tellAll(): void {
    this.#windows.tellAll((memory) => this.#thread?.lend(memory));
    this.#wirings.tellAll();
    for (const [irq, wire] of this.#wires) this.post({ type: 'irq', irq, ...wire });
    for (const message of this.#unheard.take()) this.post(message);
    if (!this.#paused) this.post({ type: 'resume' });
    for (let i = 0; i < this.#pauses.count; i++) this.expect({ type: 'pause' });
  }

  /** The thread has died: what it said was heard, and it uses nothing any more. @returns whether another is to come */
  left(): boolean {
    if (!this.#live || this.#abandoned) {
      this.gone();
      return false;
    }
    const { heard } = this.#memory;
    this.#thread = undefined;
    this.#unheard.left(heard);
    this.#asked.orphan(heard);
    this.#windows.left(heard);
    this.#memory.renew();
    return true;
  }

  /** It may be why a thread died. @param now - milliseconds @returns false when that is too often */
  mayGoOn(now: number): boolean {
    return this.#deaths.another(now);
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

  /** Says something to whichever thread has the guest. @returns how many that thread has been told with it */
  post(message: SeatMessage): number {
    if (!this.#live) return 0;
    const number = this.#thread === undefined ? Number.POSITIVE_INFINITY : ++this.#posted;
    this.#unheard.add(message, number, this.#memory.heard);
    const thread = this.#thread;
    thread?.post({ ...message, guest: thread.id } as ToThread);
    return number;
  }

  /** Says something that somebody waits for: a thread that does not come to it is stuck. */
  expect(message: SeatMessage): void {
    const number = this.post(message);
    const thread = this.#thread;
    const done = (): boolean => this.#thread !== thread || this.#memory.heard >= number;
    if (thread !== undefined) expectSoon({ ...thread, done });
  }

  /** For devices: the thread serves its registers from now on. */
  serve(window: number, device: SeatedDevice): void {
    this.#windows.serve(window, device, (memory) => this.#thread?.lend(memory));
  }

  map(range: AddressRange, handler: BusHandler): () => void {
    const window = this.#next++;
    const { ready } = handler;
    this.#windows.add(window, range, ready !== undefined);
    const open = (): void => this.#windows.open(window);
    if (ready !== undefined) whenOver(ready, open, open);
    if ('takeSeat' in handler) (handler as SeatedHandler).takeSeat(this, window);
    return () => this.#windows.delete(window);
  }

  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): () => void {
    if (!this.#live) return () => undefined;
    const wiring = this.#next++;
    return this.#wirings.add(wiring, eventfd, (fd) => ({ type: 'ioeventfd', wiring, match, fd }));
  }

  /** A device's used buffers, by a signal that the thread waits for. @returns undoes it */
  irqfd(window: number, eventfd: EventFd): () => void {
    if (!this.#live) return () => undefined;
    const wiring = this.#next++;
    return this.#wirings.add(wiring, eventfd, (fd) => ({ type: 'irqfd', wiring, window, fd }));
  }

  setIrq(irq: IrqLine, level: boolean, carrier: IrqCarrier): void {
    if (carrier !== 'message') this.#wires.set(irq, { level, carrier });
    this.post({ type: 'irq', irq, level, carrier });
  }

  async pause(): Promise<void> {
    if (!this.#live) return;
    this.#paused = true;
    this.#goneWord.hold();
    const paused = this.#pauses.add();
    this.expect({ type: 'pause' });
    await paused;
  }

  resume(): void {
    this.#paused = false;
    this.post({ type: 'resume' });
    this.#goneWord.free();
  }

  /** Does what the thread said. */
  take(message: Exclude<ToMain, { type: 'timer' | 'up' | 'refused' | 'log' }>): void {
    switch (message.type) {
      case 'paused':
        this.#pauses.next();
        break;
      case 'resumed':
        this.#asked.settle();
        break;
      case 'unwired':
        this.#wirings.unwired(message.wiring);
        break;
      case 'stalled':
        this.#wirings.stalled(message.wiring);
        break;
      case 'access':
        this.ask(message.id, `access ${Object.values(message.request).join()}`, (done) =>
          this.#requests.access(message.request, done),
        );
        break;
      case 'invalidate':
        this.ask(message.id, 'invalidate', (done) => this.#requests.invalidate(done));
        break;
      case 'device':
        this.#windows.device(message.window)?.call(message.call);
        break;
      case 'restored':
        this.#windows.device(message.window)?.restored(message.problem);
        break;
      case 'state':
        this.#windows.device(message.window)?.said(message);
        break;
    }
  }

  /** The thread waits for something that the main thread does: see {@link Asked}. */
  ask(id: number, what: string, run: (done: (value: bigint) => void) => void): void {
    this.#asked.ask(id, what, this.#memory.heard, run);
  }

  close(released: () => void): void {
    const thread = this.#thread;
    this.#released = released;
    thread?.post({ type: 'detach', guest: thread.id });
    this.#live = false;
    this.#pauses.end();
    if (thread === undefined) {
      this.#release();
      return;
    }
    if (this.#abandoned) return;
    if (waitReleased(this.#memory, thread.flush)) this.#release();
    else this.#awaitRelease(thread);
  }

  /** Whoever is that busy has it until it ends, or comes to it after all. */
  #awaitRelease(thread: SeatThread): void {
    const done = (): boolean => {
      if (this.#thread !== undefined && this.#memory.waitReleased(0)) this.#release();
      return this.#thread === undefined;
    };
    expectSoon({ ...thread, done });
  }

  #release(): void {
    this.#wirings.close();
    this.#thread?.onReleased();
    this.#thread = undefined;
    const released = this.#released;
    this.#released = undefined;
    released?.();
  }

  /** Its thread is in a system call that does not end, and runs nothing when it does: it stays as it is until then. */
  abandoned(): void {
    this.#abandoned = true;
    this.#pauses.end();
    this.#windows.gone();
  }

  /** No thread has the guest any more, nor will one. */
  gone(): void {
    const wasLive = this.#live;
    this.#live = false;
    this.#pauses.end();
    this.#windows.gone();
    this.#release();
    if (wasLive) this.#goneWord.give();
  }
}
