import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { AccessHost, AccessSeat, HostedGuest } from '@node-vmm/ioreq-eventfd';
import { VmError } from '@node-vmm/vm-device';
import {
  Epoll,
  EventFd,
  errorMessage,
  InterruptTimer,
  type Logger,
  makeAll,
  orClose,
  type Poller,
  silentLogger,
  TimerFd,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import { Channel } from './channel.ts';
import { expectSoon } from './patience.ts';
import {
  type DispatchThreadData,
  NO_GUEST,
  SERVING,
  type ToMain,
  type ToThread,
} from './protocol.ts';
import { SharedRing } from './shared-ring.ts';
import { ThreadKill } from './thread-kill.ts';
import { ThreadSeat } from './thread-seat.ts';
import { startThreadWorker, threadModule } from './thread-worker.ts';

/** What a {@link DispatchThread} works with. */
export interface DispatchThreadComponents {
  /** On Node's own event loop. */
  readonly poller: Poller;
  readonly logger?: Logger;
}

export interface DispatchThreadOptions {
  /** For messages; default `dispatch`. */
  readonly name?: string;
  /**
   * How much the thread gives way to others, -20 to 19 as `nice` of Linux has it; default: 2 less than the process,
   * where that is allowed. Below the process's it needs CAP_SYS_NICE or a limit of that user. The thread gets its
   * processor before others then, for as long as guests keep it busy: a guest's choice.
   */
  readonly nice?: number;
  /** The module that the thread runs, of a program that is bundled: `@node-vmm/vm-dispatch/thread`. */
  readonly threadModule?: URL;
}

/**
 * Has the guests of a thread that has ended by itself.
 *
 * @param culprit - the one for which the thread did something then, undefined where it did nothing for any
 */
export type OnDeath = (seats: readonly ThreadSeat[], culprit: ThreadSeat | undefined) => void;

/**
 * A thread that serves the register accesses of any number of guests, whatever the main thread does
 * meanwhile. To be closed before the process ends, after its guests. Nothing comes in its place when it
 * ends by itself: see `DispatchPool`.
 */
export class DispatchThread implements AccessHost, Disposable {
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>;
  readonly #name: string;
  readonly #logger: Logger;
  readonly #ends = makeAll({
    stop: EventFd.create,
    toThread: EventFd.create,
    toMain: EventFd.create,
    epoll: () => new Epoll(),
    timer: () => new TimerFd(),
    turn: EventFd.create,
  });
  readonly #channel: Channel<ToThread, ToMain>;
  readonly #memories: MessagePort;
  readonly #serving = new Int32Array(
    new SharedArrayBuffer(SERVING.LENGTH * Int32Array.BYTES_PER_ELEMENT),
  );
  readonly #onDeath: OnDeath | undefined;
  readonly #watch: Watch;
  readonly #kill: ThreadKill;
  readonly #seats = new Map<number, ThreadSeat>();
  #nextGuest = 0;
  #stopping = false;
  #live = true;
  #up = false;
  #onUp: () => void = () => undefined;
  #refused: string | undefined;
  /** Of the thread, which may end without a chance to delete it. */
  #timer: bigint | undefined;

  /**
   * Starts a thread.
   *
   * @param onDeath - of a thread that had started, also where that has died before this returns it; default: its
   * guests are answered on this one
   * @throws {VmError} NOT_SUPPORTED when it cannot run, or not at the priority asked for
   */
  static async start(
    components: DispatchThreadComponents,
    options: DispatchThreadOptions = {},
    onDeath?: OnDeath,
  ): Promise<DispatchThread> {
    const thread = DispatchThread.#create(components, options, onDeath);
    const up = new Promise<void>((resolve) => {
      thread.#onUp = resolve;
    });
    await Promise.race([up, thread.ended]);
    if (thread.#live || (thread.#up && onDeath !== undefined)) return thread;
    const why = thread.#refused ?? 'it has ended, see the log';
    const text = `Cannot start dispatch thread ${thread.#name}: ${why}`;
    throw new VmError('NOT_SUPPORTED', text);
  }

  /** @throws {VmError} NOT_SUPPORTED */
  static #create(
    components: DispatchThreadComponents,
    options: DispatchThreadOptions,
    onDeath: OnDeath | undefined,
  ): DispatchThread {
    const module = threadModule(options.threadModule);
    try {
      return new DispatchThread(module, components, options, onDeath);
    } catch (cause) {
      const { name = 'dispatch' } = options;
      const text = `Cannot start dispatch thread ${name}: ${errorMessage(cause)}`;
      throw new VmError('NOT_SUPPORTED', text, {}, { cause });
    }
  }

  private constructor(
    module: URL,
    components: DispatchThreadComponents,
    options: DispatchThreadOptions,
    onDeath: OnDeath | undefined,
  ) {
    this.#onDeath = onDeath;
    Atomics.store(this.#serving, SERVING.GUEST, NO_GUEST);
    this.#name = options.name ?? 'dispatch';
    this.#logger = components.logger ?? silentLogger;
    const [there, back] = [new SharedRing(), new SharedRing()];
    const { stop, toThread, toMain, epoll, timer, turn } = this.#ends;
    this.#channel = new Channel(
      { outgoing: there, incoming: back, out: toThread, in: toMain },
      (message) => this.#take(message),
    );
    const { port1, port2 } = new MessageChannel();
    this.#memories = port1;
    port1.unref();
    const data: DispatchThreadData = {
      nodeVmmThread: 'dispatch',
      channel: {
        outgoing: back.buffer,
        incoming: there.buffer,
        outgoingFd: toMain.fd,
        incomingFd: toThread.fd,
      },
      stopFd: stop.fd,
      epollFd: epoll.fd,
      timers: { timer: timer.fd, turn: turn.fd },
      serving: this.#serving.buffer,
      memories: port2,
      nice: options.nice,
    };
    const ports = { [Symbol.dispose]: () => port1.close() };
    const watch = orClose({ ...this.#ends, ports }, () => this.#channel.watch(components.poller));
    this.#watch = watch;
    const worker = orClose({ watch, ...this.#ends, ports }, () =>
      startThreadWorker(module, this.#name, data),
    );
    this.#kill = new ThreadKill(worker, () => Atomics.load(this.#serving, SERVING.TID));
    // A thread that blocks would keep the process from ending.
    process.once('exit', this.#onExit);
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    this.ended = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#finish(cause);
        resolve();
      });
    });
  }

  readonly #onExit = (): void => this.close();

  /** Whether it takes guests. */
  get live(): boolean {
    return this.#live && !this.#stopping && !this.#kill.begun;
  }

  /** Guests that it has, those included of which it has not let go yet. */
  get guests(): number {
    return this.#seats.size;
  }

  seat(guest: HostedGuest): AccessSeat {
    if (!this.live) {
      const text = `Cannot serve ${guest.name}: dispatch thread ${this.#name} has ended`;
      throw new VmError('CLOSED', text, { vm: guest.name });
    }
    const seat = new ThreadSeat(guest);
    this.admit(seat);
    return seat;
  }

  /** For pools: has a guest, which may have been another thread's. */
  admit(seat: ThreadSeat): void {
    const id = this.#nextGuest++;
    this.#seats.set(id, seat);
    seat.attach({
      id,
      post: (message) => this.#post(message),
      lend: (memory) => this.#memories.postMessage(memory),
      flush: () => this.#channel.take(),
      onReleased: () => this.#seats.delete(id),
      onStuck: () => this.#stuck(),
    });
  }

  /** Ends the thread; guests that it has are answered on this one. `ended` tells when it is gone. */
  close(): void {
    const { stop } = this.#ends;
    if (this.#stopping || !stop.live) return;
    this.#stopping = true;
    stop.signal();
    const done = (): boolean => !this.#live;
    expectSoon({ done, flush: () => undefined, onStuck: () => this.#stuck() });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #post(message: ToThread): void {
    if (this.#live) this.#channel.post(message);
  }

  #take(message: ToMain): void {
    if (message.type === 'timer') this.#timer = message.id;
    else if (message.type === 'up') {
      this.#up = true;
      this.#onUp();
    } else if (message.type === 'refused') this.#refuse(message.problem);
    else if (message.type === 'log') this.#logger[message.level](message.context, message.message);
    else this.#seats.get(message.guest)?.take(message);
  }

  /** It does not come to what it is told: it is ended wherever it is, and what is left of it is a dead one's. */
  #stuck(): void {
    if (!this.#live || this.#kill.begun) return;
    const context = { thread: this.#name, busyWith: this.#busyWith?.name };
    this.#logger.error(context, 'a dispatch thread is stuck, it is ended');
    this.#kill.begin(() => {
      const text = 'a dispatch thread that is stuck in a system call does not end';
      this.#logger.error(context, text);
      for (const seat of this.#seats.values()) seat.abandoned();
    });
  }

  /** Whom it does something for. */
  get #busyWith(): ThreadSeat | undefined {
    return this.#seats.get(Atomics.load(this.#serving, SERVING.GUEST));
  }

  #refuse(problem: string): void {
    this.#refused = problem;
    this.close();
  }

  #finish(cause: unknown): void {
    // Its last words may say why.
    this.#channel.take();
    this.#live = false;
    this.#kill.over();
    process.off('exit', this.#onExit);
    const seats = [...this.#seats.values()];
    const culprit = this.#busyWith;
    this.#seats.clear();
    this.#watch.close();
    this.#memories.close();
    for (const end of Object.values(this.#ends)) end.close();
    if (this.#timer !== undefined) InterruptTimer.delete(this.#timer);
    const onDeath = this.#up && !this.#stopping ? this.#onDeath : undefined;
    if (!this.#stopping) {
      const reason = cause === undefined ? 'it ended by itself' : errorMessage(cause);
      const busyWith = culprit?.name;
      const context = { thread: this.#name, guests: seats.length, reason, busyWith };
      const fate =
        onDeath === undefined ? 'its guests lose their devices' : 'another is to have its guests';
      this.#logger.error(context, `a dispatch thread has ended, ${fate}`);
    }
    if (onDeath !== undefined)
      onDeath(
        seats.filter((seat) => seat.left()),
        culprit,
      );
    else for (const seat of seats) seat.gone();
  }
}
