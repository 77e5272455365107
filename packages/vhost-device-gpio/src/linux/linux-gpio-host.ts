import type { HostThread } from '@node-vmm/vhost-user-backend';
import {
  errorCode,
  errorMessage,
  type Fd,
  type Logger,
  type Poller,
  readFd,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import { GpioError, isGpioErrorCode } from '../errors.ts';
import {
  GPIO_EDGE_FALLING,
  GPIO_EDGE_RISING,
  type GpioAnswer,
  type GpioDirection,
  type GpioDone,
  type GpioEdgeListener,
  type GpioEdges,
  type GpioHost,
  type GpioLevel,
} from '../gpio-host.ts';
import {
  GPIO_V2_LINE_EVENT,
  GPIO_V2_LINE_EVENT_RISING_EDGE,
  GPIO_V2_LINE_FLAG_EDGE_FALLING,
  GPIO_V2_LINE_FLAG_EDGE_RISING,
} from './gpio.ts';
import type { ArmedLine, LineAnswer, LineRequest } from './line-messages.ts';

/** Events that one read takes. */
const EVENTS = 16;

const NONE: GpioDirection = 0;
const OUT: GpioDirection = 1;
const IN: GpioDirection = 2;

/** What became of edges, since the host was made. */
export interface LinuxGpioCounters {
  /** Edges of armed lines, those included that the kernel had no room to report. */
  edges: number;
  /** Edges that the kernel had no room to report: gaps in `line_seqno`. */
  lostEdges: number;
}

/** What a host does its work with. */
export interface LinuxGpioHostContext {
  readonly logger: Logger;
  /** Watches the descriptors of armed lines: a thread serves any number of them. */
  readonly poller: Poller;
  /** Reads events, as `readFd`; for tests. */
  readonly readEvents?: (fd: Fd, memory: DataView, length: number) => number;
}

/** A line that edges have been asked of, since it was taken. */
interface Watched {
  edges: GpioEdges;
  /** `line_seqno` of the last event that was read. */
  seqno: number;
  watch: Watch | undefined;
}

/**
 * A GPIO chip of Linux, by version 2 of its character device. What may sleep is done in the chip's
 * thread (`serveGpioLines`); edges come from the descriptors of the lines, which this thread's poller
 * watches. Edges that the kernel had no room to report are counted, and told as one.
 */
export class LinuxGpioHost implements GpioHost {
  readonly name: string;
  readonly names: readonly string[];
  readonly counters: LinuxGpioCounters = { edges: 0, lostEdges: 0 };
  readonly #thread: HostThread;
  readonly #context: LinuxGpioHostContext;
  readonly #read: (fd: Fd, memory: DataView, length: number) => number;
  readonly #events = new DataView(new ArrayBuffer(EVENTS * GPIO_V2_LINE_EVENT.SIZE));
  readonly #lines = new Map<number, Watched>();
  #listener: GpioEdgeListener = () => undefined;
  #live = true;

  /**
   * @param name - `gpiochip0`
   * @param names - of the chip's lines
   * @param thread - to the chip's `serveGpioLines`, of which nobody else asks anything; becomes the
   * host's, which closes it
   */
  constructor(
    name: string,
    names: readonly string[],
    thread: HostThread,
    context: LinuxGpioHostContext,
  ) {
    this.name = name;
    this.names = names;
    this.#thread = thread;
    this.#context = context;
    this.#read = context.readEvents ?? readFd;
  }

  listen(listener: GpioEdgeListener): void {
    this.#listener = listener;
  }

  getDirection(line: number, done: GpioAnswer<GpioDirection>): void {
    this.#ask({ op: 'isOutput', line }, (error, answer) => done(error, answer === true ? OUT : IN));
  }

  setDirection(line: number, direction: GpioDirection, value: GpioLevel, done: GpioDone): void {
    if (direction === NONE) {
      this.#forget(line);
      this.#ask({ op: 'release', line }, done);
      return;
    }
    const output = direction === OUT;
    this.#ask({ op: 'setDirection', line, output, value }, (error) => {
      // An output has no edges: those that still wait are nobody's.
      if (error === undefined && output) this.#unwatch(line);
      done(error);
    });
  }

  getValue(line: number, done: GpioAnswer<GpioLevel>): void {
    this.#ask({ op: 'value', line }, (error, answer) => done(error, answer === 1 ? 1 : 0));
  }

  setValue(line: number, value: GpioLevel, done: GpioDone): void {
    this.#ask({ op: 'setValue', line, value }, done);
  }

  arm(line: number, edges: GpioEdges, done: GpioDone): void {
    if (edges === 0) {
      this.#ask({ op: 'disarm', line }, (error) => {
        if (error === undefined) this.#unwatch(line);
        done(error);
      });
      return;
    }
    const watched = this.#lines.get(line) ?? { edges, seqno: 0, watch: undefined };
    this.#lines.set(line, watched);
    const flags =
      ((edges & GPIO_EDGE_RISING) === 0 ? 0n : GPIO_V2_LINE_FLAG_EDGE_RISING) |
      ((edges & GPIO_EDGE_FALLING) === 0 ? 0n : GPIO_V2_LINE_FLAG_EDGE_FALLING);
    this.#ask({ op: 'arm', line, edges: flags, seqno: watched.seqno }, (error, answer) => {
      // The line may have been given back meanwhile, which closes the descriptor next.
      if (error !== undefined || this.#lines.get(line) !== watched) {
        done(error);
        return;
      }
      this.#watch(line, watched, edges, answer as ArmedLine);
      done();
    });
  }

  #watch(line: number, watched: Watched, edges: GpioEdges, { fd, seqno }: ArmedLine): void {
    watched.edges = edges;
    watched.seqno = seqno;
    watched.watch ??= this.#context.poller.watch(fd, { readable: true }, ({ disconnected }) => {
      if (disconnected) this.#lose(line, 'the chip is gone');
      else this.#readEvents(line, watched, fd);
    });
  }

  #readEvents(line: number, watched: Watched, fd: Fd): void {
    let length: number;
    try {
      length = this.#read(fd, this.#events, this.#events.byteLength);
    } catch (error) {
      this.#lose(line, errorMessage(error));
      return;
    }
    if (length < 0) return;
    const count = Math.floor(length / GPIO_V2_LINE_EVENT.SIZE);
    // The kernel gives whole events. What gives less would call us for ever.
    if (count === 0) this.#lose(line, `a read gave ${length} bytes`);
    for (let i = 0; i < count; i++) {
      // Whoever is told may have given the line back.
      if (watched.watch === undefined) return;
      const base = i * GPIO_V2_LINE_EVENT.SIZE;
      const seqno = GPIO_V2_LINE_EVENT.get(this.#events, base, 'line_seqno');
      const id = GPIO_V2_LINE_EVENT.get(this.#events, base, 'id');
      const rising = id === GPIO_V2_LINE_EVENT_RISING_EDGE;
      const lost = (seqno - watched.seqno - 1) >>> 0;
      watched.seqno = seqno;
      this.counters.edges += lost + 1;
      if (lost > 0) {
        this.counters.lostEdges += lost;
        // Of both edges, the one before this was the other.
        const both = GPIO_EDGE_RISING | GPIO_EDGE_FALLING;
        this.#listener(line, watched.edges === both ? !rising : rising);
        if (watched.watch === undefined) return;
      }
      this.#listener(line, rising);
    }
  }

  /** Edges of a line come no more. Its next operation fails, or takes it anew. */
  #lose(line: number, state: string): void {
    this.#context.logger.warn(
      { chip: this.name, line },
      `Cannot wait for edges any more: ${state}; the guest has to take the line again`,
    );
    this.#giveBack(line);
  }

  /** What is not ours any more is closed, so that it can be taken anew. */
  #giveBack(line: number): void {
    this.#forget(line);
    this.#thread.request({ op: 'release', line } satisfies LineRequest, () => undefined);
  }

  /** Descriptors are closed by the thread, which is asked for that after this. */
  #forget(line: number): void {
    this.#unwatch(line);
    this.#lines.delete(line);
  }

  #unwatch(line: number): void {
    const watched = this.#lines.get(line);
    if (watched === undefined) return;
    const { watch } = watched;
    watched.watch = undefined;
    watch?.close();
  }

  #ask(request: LineRequest, answered: (error?: GpioError, answer?: LineAnswer) => void): void {
    this.#thread.request(request, (error, answer) => {
      if (error === undefined) {
        answered(undefined, answer as LineAnswer);
        return;
      }
      const code = errorCode(error);
      const context = { chip: this.name, line: request.line };
      const failure = new GpioError(isGpioErrorCode(code) ? code : 'IO', error.message, context, {
        cause: error,
      });
      if (failure.code === 'NO_DEVICE') this.#giveBack(request.line);
      answered(failure);
    });
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    for (const line of [...this.#lines.keys()]) this.#forget(line);
    this.#thread.close();
  }
}
