import { setPriority } from 'node:os';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { OpenGuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import {
  EventFd,
  EventLoop,
  errorMessage,
  InterruptTimer,
  LoopTimers,
  ThreadInterrupt,
  threadId,
} from '@node-vmm/vmm-sys-util';
import { Channel } from '../channel.ts';
import { GuestMemory } from '../guest-memory.ts';
import {
  type DispatchThreadData,
  type GuestData,
  NO_GUEST,
  SERVING,
  type ToMain,
  type ToThread,
} from '../protocol.ts';
import { SharedRing } from '../shared-ring.ts';
import { BusySignals } from './busy-signals.ts';
import { GuestSeat } from './guest-seat.ts';
import { RingLogger } from './ring-logger.ts';

/** Ours: milliseconds for which a back-end's eventfd may block the thread, once, and twice that where kicks are many. */
const SIGNAL_PATIENCE_MS = 20;

/** setpriority(2): the thread that calls, on Linux. */
const THIS_THREAD = 0;

/** A dispatch thread: blocks until a vCPU, a wiring or the main thread wants something. */
export class DispatchLoop {
  readonly #loop: EventLoop;
  readonly #timers: LoopTimers;
  readonly #interrupts: InterruptTimer;
  readonly #signals: BusySignals;
  readonly #channel: Channel<ToMain, ToThread>;
  readonly #memories: MessagePort;
  readonly #logger: RingLogger;
  readonly #openEnds: OpenGuestEnds;
  readonly #serving: Int32Array;
  readonly #seats = new Map<number, GuestSeat>();
  readonly #nice: number | undefined;

  /** @param openEnds - how guests are got hold of */
  constructor(data: DispatchThreadData, openEnds: OpenGuestEnds) {
    const { channel, stopFd, epollFd, memories, serving } = data;
    this.#nice = data.nice;
    this.#openEnds = openEnds;
    this.#serving = new Int32Array(serving);
    Atomics.store(this.#serving, SERVING.TID, threadId());
    this.#loop = new EventLoop(EventFd.fromFd(stopFd), epollFd);
    this.#timers = new LoopTimers(this.#loop);
    this.#interrupts = new InterruptTimer(ThreadInterrupt.install(), SIGNAL_PATIENCE_MS);
    this.#signals = new BusySignals(this.#interrupts, this.#timers);
    this.#memories = memories;
    this.#channel = new Channel<ToMain, ToThread>(
      {
        outgoing: new SharedRing(channel.outgoing),
        incoming: new SharedRing(channel.incoming),
        out: EventFd.fromFd(channel.outgoingFd),
        in: EventFd.fromFd(channel.incomingFd),
      },
      (message) => this.#serve(message.guest, () => this.#take(message)),
    );
    this.#logger = new RingLogger(this.#post);
    this.#channel.watch(this.#loop);
  }

  /** Ends when the thread is asked to stop. */
  run(): void {
    const problem = this.#takePriority();
    this.#post(problem === undefined ? { type: 'up' } : { type: 'refused', problem });
    try {
      this.#loop.run();
      for (const seat of this.#seats.values()) seat.close();
    } finally {
      // Descriptors and timers are the process's: they would outlive a thread that an error ends.
      this.#timers.close();
      this.#interrupts.close();
    }
  }

  /** @returns why it has not the priority asked for */
  #takePriority(): string | undefined {
    if (this.#nice === undefined) return undefined;
    try {
      setPriority(THIS_THREAD, this.#nice);
      return undefined;
    } catch (error) {
      return `nice ${this.#nice} is refused (${errorMessage(error)}); it needs CAP_SYS_NICE`;
    }
  }

  readonly #post = (message: ToMain): void => this.#channel.post(message);

  /** What is not caught ends the thread: whose guest it was for is seen then. */
  #serve(guest: number, action: () => void): void {
    Atomics.store(this.#serving, 0, guest);
    action();
    Atomics.store(this.#serving, 0, NO_GUEST);
  }

  #take(message: ToThread): void {
    const { guest } = message;
    if (message.type === 'attach') this.#attach(guest, message.data);
    else if (message.type !== 'detach') this.#seats.get(guest)?.take(message);
    else {
      this.#seats.get(guest)?.close();
      this.#seats.delete(guest);
    }
  }

  #attach(guest: number, data: GuestData): void {
    const seat = new GuestSeat(
      {
        guest,
        poller: this.#loop,
        timers: this.#timers,
        signals: this.#signals,
        logger: this.#logger.child({ vm: data.name }),
        post: this.#post,
        listen: () => this.#channel.take(),
        serve: (action) => this.#serve(guest, action),
        memory: () => this.#memory(),
        openEnds: this.#openEnds,
      },
      data,
      new GuestMemory(this.#memory()),
    );
    this.#seats.set(guest, seat);
  }

  #memory(): SharedArrayBuffer {
    const received = receiveMessageOnPort(this.#memories) as { message: SharedArrayBuffer };
    return received.message;
  }
}
