import { getPriority, setPriority } from 'node:os';
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
  SERVING,
  type ToMain,
  type ToThread,
} from '../protocol.ts';
import { SharedRing } from '../shared-ring.ts';
import { BusySignals } from './busy-signals.ts';
import { GuestSeat } from './guest-seat.ts';
import { RingLogger } from './ring-logger.ts';
import { Serving } from './serving.ts';

/** Ours: milliseconds for which a back-end's eventfd may block the thread, once, and twice that where kicks are many. */
const SIGNAL_PATIENCE_MS = 20;

/** Ours: by how much less than its process a thread gives way, where nobody says. */
const USUAL_STEP = 2;

/** setpriority(2): the thread that calls, on Linux. */
const THIS_THREAD = 0;

/** setpriority(2): the least that a thread can give way. */
const LEAST_NICE = -20;

/**
 * A vCPU stands still for each access, so that whoever answers comes before other work of the process: by as much
 * as it takes for a read not to wait for a batch of others, see `bench -- dispatch`. Where that is not allowed,
 * the thread is like any other.
 */
function preferThisThread(): void {
  try {
    setPriority(THIS_THREAD, Math.max(LEAST_NICE, getPriority(THIS_THREAD) - USUAL_STEP));
  } catch {
    // Nobody has asked for it.
  }
}

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
  readonly #serving: Serving;
  readonly #seats = new Map<number, GuestSeat>();
  readonly #nice: number | undefined;

  /** @param openEnds - how guests are got hold of */
  constructor(data: DispatchThreadData, openEnds: OpenGuestEnds) {
    const { channel, stopFd, epollFd, timers, memories, serving } = data;
    this.#nice = data.nice;
    this.#openEnds = openEnds;
    const words = new Int32Array(serving);
    Atomics.store(words, SERVING.TID, threadId());
    this.#serving = new Serving(words);
    this.#loop = new EventLoop(EventFd.fromFd(stopFd), epollFd);
    this.#timers = new LoopTimers(this.#loop, timers);
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
      (message) => this.#serving.do(message.guest, () => this.#take(message)),
    );
    this.#logger = new RingLogger(this.#post);
    this.#channel.watch(this.#loop);
  }

  /** Ends when the thread is asked to stop. */
  run(): void {
    this.#post({ type: 'timer', id: this.#interrupts.id });
    const problem = this.#takePriority();
    this.#post(problem === undefined ? { type: 'up' } : { type: 'refused', problem });
    this.#loop.run();
    for (const seat of this.#seats.values()) seat.close();
  }

  /** @returns why it has not the priority asked for */
  #takePriority(): string | undefined {
    if (this.#nice === undefined) {
      preferThisThread();
      return undefined;
    }
    try {
      setPriority(THIS_THREAD, this.#nice);
      return undefined;
    } catch (error) {
      return `nice ${this.#nice} is refused (${errorMessage(error)}); it needs CAP_SYS_NICE`;
    }
  }

  readonly #post = (message: ToMain): void => this.#channel.post(message);

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
        channel: this.#channel,
        serving: this.#serving,
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
