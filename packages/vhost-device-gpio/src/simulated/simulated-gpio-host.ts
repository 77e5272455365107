import {
  VIRTIO_GPIO_DIRECTION_IN,
  VIRTIO_GPIO_DIRECTION_NONE,
  VIRTIO_GPIO_DIRECTION_OUT,
} from '@node-vmm/virtio-bindings/gpio';
import { checkInteger } from '@node-vmm/vmm-sys-util';
import { GpioError } from '../errors.ts';
import {
  GPIO_EDGE_FALLING,
  GPIO_EDGE_RISING,
  GPIO_LINES_MAX,
  type GpioAnswer,
  type GpioDirection,
  type GpioDone,
  type GpioEdgeListener,
  type GpioEdges,
  type GpioHost,
  type GpioLevel,
} from '../gpio-host.ts';

/** Which levels the lines are held at from outside: what is kept when the host is made anew. */
export interface LineLevels {
  level(line: number): GpioLevel;
  setLevel(line: number, level: GpioLevel): void;
}

/** Levels in memory of their own, low at first. */
class OwnLevels implements LineLevels {
  readonly #levels: Uint8Array;

  constructor(lines: number) {
    this.#levels = new Uint8Array(lines);
  }

  level(line: number): GpioLevel {
    return this.#levels[line] === 1 ? 1 : 0;
  }

  setLevel(line: number, level: GpioLevel): void {
    this.#levels[line] = level;
  }
}

/**
 * Lines that nothing is wired to but what calls {@link SimulatedGpioHost.move}: a button, a sensor, a
 * test. All operations are over within the call.
 */
export class SimulatedGpioHost implements GpioHost {
  readonly name = 'simulated';
  readonly names: readonly string[];
  readonly #levels: LineLevels;
  readonly #directions: Uint8Array;
  readonly #driven: Uint8Array;
  readonly #edges: Uint8Array;
  #listener: GpioEdgeListener = () => undefined;
  /** Line that is being moved, and where to. */
  #moving: number | undefined;
  #target: GpioLevel = 0;

  /**
   * @param names - of the lines, '' for lines without
   * @throws {RangeError} for no line, or more than 65535
   */
  constructor(names: readonly string[], levels: LineLevels = new OwnLevels(names.length)) {
    checkInteger('names.length', names.length, 1, GPIO_LINES_MAX);
    this.names = names;
    this.#levels = levels;
    this.#directions = new Uint8Array(names.length);
    this.#driven = new Uint8Array(names.length);
    this.#edges = new Uint8Array(names.length);
  }

  listen(listener: GpioEdgeListener): void {
    this.#listener = listener;
  }

  /** Level on a line: what drives it. */
  levelOf(line: number): GpioLevel {
    if (this.#directions[line] === VIRTIO_GPIO_DIRECTION_OUT)
      return this.#driven[line] === 1 ? 1 : 0;
    if (line === this.#moving) return this.#target;
    return this.#levels.level(line);
  }

  /**
   * Holds a line at a level from outside. Who listens hears of it within the call, if it is a change.
   *
   * @throws {GpioError} NOT_SUPPORTED when the guest drives the line
   */
  move(line: number, level: GpioLevel): void {
    checkInteger('line', line, 0, this.names.length - 1);
    if (this.#directions[line] === VIRTIO_GPIO_DIRECTION_OUT) {
      const text = `Cannot set line ${line}: the guest drives it as an output`;
      throw new GpioError('NOT_SUPPORTED', text, { chip: this.name, line });
    }
    if (this.#levels.level(line) === level) return;
    const edge = level === 1 ? GPIO_EDGE_RISING : GPIO_EDGE_FALLING;
    // First the edge: if we die with only one of the two kept, the move can be made again.
    this.#moving = line;
    this.#target = level;
    if (((this.#edges[line] ?? 0) & edge) !== 0) this.#listener(line, level === 1);
    this.#moving = undefined;
    this.#levels.setLevel(line, level);
  }

  getDirection(line: number, done: GpioAnswer<GpioDirection>): void {
    done(undefined, (this.#directions[line] ?? VIRTIO_GPIO_DIRECTION_NONE) as GpioDirection);
  }

  setDirection(line: number, direction: GpioDirection, value: GpioLevel, done: GpioDone): void {
    this.#directions[line] = direction;
    this.#driven[line] = value;
    if (direction !== VIRTIO_GPIO_DIRECTION_IN) this.#edges[line] = 0;
    done();
  }

  getValue(line: number, done: GpioAnswer<GpioLevel>): void {
    done(undefined, this.levelOf(line));
  }

  setValue(line: number, value: GpioLevel, done: GpioDone): void {
    this.#driven[line] = value;
    done();
  }

  arm(line: number, edges: GpioEdges, done: GpioDone): void {
    if (edges !== 0 && this.#directions[line] === VIRTIO_GPIO_DIRECTION_OUT) {
      const text = `Cannot watch line ${line}: it is an output`;
      done(new GpioError('NOT_SUPPORTED', text, { chip: this.name, line }));
      return;
    }
    this.#edges[line] = edges;
    done();
  }

  [Symbol.dispose](): void {
    this.#listener = () => undefined;
  }
}
