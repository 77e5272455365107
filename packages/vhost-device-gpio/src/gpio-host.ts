import type { GpioError } from './errors.ts';

/** §5.18.4: most lines of a device: `ngpio` of its configuration space has 16 bits. */
export const GPIO_LINES_MAX = 0xffff;

/** What a line is to the host: VIRTIO_GPIO_DIRECTION_NONE, _OUT or _IN of VIRTIO 1.3 §5.18.6. */
export type GpioDirection = 0 | 1 | 2;

/** Logical level: 0 low, 1 high. */
export type GpioLevel = 0 | 1;

/** Which changes of a line's level are told: bits of {@link GPIO_EDGE_RISING} and {@link GPIO_EDGE_FALLING}. */
export type GpioEdges = 0 | 1 | 2 | 3;

/** §5.18.6: in {@link GpioEdges}: from low to high. As VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING. */
export const GPIO_EDGE_RISING = 1;
/** §5.18.6: in {@link GpioEdges}: from high to low. As VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING. */
export const GPIO_EDGE_FALLING = 2;

/** An operation is over; with an error it had no effect. */
export type GpioDone = (error?: GpioError) => void;

/** An operation is over that answers something; `answer` is meaningless with an error. */
export type GpioAnswer<T> = (error: GpioError | undefined, answer: T) => void;

/**
 * A line changed its level, as {@link GpioHost.arm} asked for: called once for each change, in the order
 * of the changes, on the thread of the host's user. A simulated line calls within the call that moves
 * it; a line of the kernel when the poller says so, never within a call of the host's methods.
 *
 * @param rising - true from low to high
 */
export type GpioEdgeListener = (line: number, rising: boolean) => void;

/**
 * The host's side: a chip with GPIO lines. The kernel's and a simulated one are equals.
 *
 * Every operation says that it is over by calling `done` once, within the call or later on the same
 * thread, but not after the host's disposal. What waits must be in the thread's poller: a vring worker
 * has no timers and promises. Operations take effect in the order in which they were begun; there may be
 * any number under way. Line numbers are the caller's to check: 0..`names.length - 1`.
 */
export interface GpioHost extends Disposable {
  /** For messages: `gpiochip0`, `simulated`. */
  readonly name: string;

  /** Name of each line, '' where it has none; as many as there are lines, 1..{@link GPIO_LINES_MAX}. */
  readonly names: readonly string[];

  /** Who is told of edges; called once, before any other operation. */
  listen(listener: GpioEdgeListener): void;

  /** Direction of a line as it is, without taking it from whoever has it. */
  getDirection(line: number, done: GpioAnswer<GpioDirection>): void;

  /**
   * Takes a line as input or output, or gives it back (NONE), which ends its edges, too. Again with the
   * direction that the line has is no error: an output gets the value, an input stays armed; one that
   * becomes an output is armed no more.
   *
   * @param value - what an output begins with; there is no moment in which it drives anything else
   */
  setDirection(line: number, direction: GpioDirection, value: GpioLevel, done: GpioDone): void;

  /** Level that is sensed on a line, whatever its direction. One that nobody has taken may be taken as it is. */
  getValue(line: number, done: GpioAnswer<GpioLevel>): void;

  /** Drives an output. */
  setValue(line: number, value: GpioLevel, done: GpioDone): void;

  /**
   * Says which edges of a line are told from now on, replacing what was said before; 0 for none. A line
   * that nobody has taken is taken as input; an output is refused. After `done` for 0, no edge of before
   * is told any more.
   */
  arm(line: number, edges: GpioEdges, done: GpioDone): void;
}
