import {
  VIRTIO_GPIO_DIRECTION_NONE,
  VIRTIO_GPIO_DIRECTION_OUT,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH,
  VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH,
  VIRTIO_GPIO_IRQ_TYPE_NONE,
  VIRTIO_GPIO_MSG_GET_DIRECTION,
  VIRTIO_GPIO_MSG_GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_IRQ_TYPE,
  VIRTIO_GPIO_MSG_SET_VALUE,
} from '@node-vmm/virtio-bindings/gpio';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { GpioCounters } from './counters.ts';
import type { GpioError } from './errors.ts';
import {
  GPIO_EDGE_FALLING,
  GPIO_EDGE_RISING,
  type GpioDirection,
  type GpioEdges,
  type GpioHost,
  type GpioLevel,
} from './gpio-host.ts';
import type { Interrupts } from './interrupts.ts';
import { type GpioTrigger, isDirection, isTrigger, type LineStates } from './line-states.ts';
import type { RequestDone, RequestHandler } from './requests.ts';

/** What the driver did to a line, for those who watch. */
export type LineChange =
  | {
      readonly event: 'direction';
      readonly line: number;
      readonly direction: GpioDirection;
      readonly value: GpioLevel;
    }
  | { readonly event: 'value'; readonly line: number; readonly value: GpioLevel }
  | { readonly event: 'trigger'; readonly line: number; readonly trigger: GpioTrigger };

/** What lines work with. */
export interface LinesParts {
  readonly states: LineStates;
  readonly host: GpioHost;
  readonly interrupts: Interrupts;
  readonly counters: GpioCounters;
  readonly logger: Logger;
  onChange(change: LineChange): void;
}

const NOTHING = (): void => undefined;

/** Edges that a trigger needs to hear of; a level begins with one. */
function edgesOf(trigger: GpioTrigger): GpioEdges {
  if (trigger <= VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH) return trigger as GpioEdges;
  return trigger === VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ? GPIO_EDGE_RISING : GPIO_EDGE_FALLING;
}

/**
 * The lines, as the driver's requests see them. What a request changes is written to `LineStates` before
 * the host is told: should the process die in between, the next one tells the host what it was about to
 * hear, and the request, which comes again, changes nothing more.
 */
export class Lines implements RequestHandler {
  readonly #parts: LinesParts;
  #interruptsAllowed = false;
  /** Counts resets: what was begun before one is undone by it, and undoes nothing. */
  #life = 0;

  constructor(parts: LinesParts) {
    this.#parts = parts;
  }

  /** VIRTIO_GPIO_F_IRQ has been negotiated. */
  get interruptsAllowed(): boolean {
    return this.#interruptsAllowed;
  }

  set interruptsAllowed(allowed: boolean) {
    this.#interruptsAllowed = allowed;
  }

  /** Makes the host what the states say: after the process before died. */
  restore(): void {
    const { states } = this.#parts;
    for (let line = 0; line < states.length; line++) {
      const direction = states.direction(line);
      if (direction !== VIRTIO_GPIO_DIRECTION_NONE) this.#drive(line, direction);
      if (states.trigger(line) !== VIRTIO_GPIO_IRQ_TYPE_NONE) this.#rearm(line);
    }
  }

  /** All lines are as after power-on; what the host has is given back. */
  reset(): void {
    const { states, host } = this.#parts;
    this.#life++;
    for (let line = 0; line < states.length; line++) {
      const idle = states.idle(line);
      states.clear(line);
      if (!idle) host.setDirection(line, VIRTIO_GPIO_DIRECTION_NONE, 0, this.#logged(line));
    }
  }

  handle(type: number, line: number, value: number, done: RequestDone): void {
    if (line < this.#parts.states.length) {
      switch (type) {
        case VIRTIO_GPIO_MSG_GET_DIRECTION:
          this.#getDirection(line, done);
          return;
        case VIRTIO_GPIO_MSG_SET_DIRECTION:
          if (!isDirection(value)) break;
          this.#setDirection(line, value, done);
          return;
        case VIRTIO_GPIO_MSG_GET_VALUE:
          this.#parts.host.getValue(line, this.#answer(done));
          return;
        case VIRTIO_GPIO_MSG_SET_VALUE:
          if (value !== 0 && value !== 1) break;
          this.#setValue(line, value, done);
          return;
        case VIRTIO_GPIO_MSG_SET_IRQ_TYPE:
          if (!isTrigger(value)) break;
          this.#setTrigger(line, value, done);
          return;
      }
    }
    done(undefined);
  }

  /** What the driver has not configured is as it is at the host. */
  #getDirection(line: number, done: RequestDone): void {
    const { states, host } = this.#parts;
    const direction = states.direction(line);
    if (direction !== VIRTIO_GPIO_DIRECTION_NONE) done(direction);
    else host.getDirection(line, this.#answer(done));
  }

  #setDirection(line: number, direction: GpioDirection, done: RequestDone): void {
    const { states, host, interrupts, onChange } = this.#parts;
    const before = states.direction(line);
    if (direction === VIRTIO_GPIO_DIRECTION_NONE) {
      interrupts.disabled(line);
      states.clear(line);
    } else {
      // An output has no interrupt (§5.18.6): one that the driver forgot, or that another before it had.
      if (direction === VIRTIO_GPIO_DIRECTION_OUT) this.#disable(line);
      states.setDirection(line, direction);
    }
    if (before !== direction)
      onChange({ event: 'direction', line, direction, value: states.value(line) });
    const finish = this.#finish(done, () => {
      if (direction !== VIRTIO_GPIO_DIRECTION_NONE) states.setDirection(line, before);
    });
    host.setDirection(line, direction, states.value(line), finish);
  }

  #setValue(line: number, value: GpioLevel, done: RequestDone): void {
    const { states, host, onChange } = this.#parts;
    const before = states.value(line);
    states.setValue(line, value);
    if (before !== value) onChange({ event: 'value', line, value });
    // Else it is what the line will drive when it becomes an output (§5.18.6.5).
    if (states.direction(line) !== VIRTIO_GPIO_DIRECTION_OUT) done(0);
    else {
      host.setValue(
        line,
        value,
        this.#finish(done, () => states.setValue(line, before)),
      );
    }
  }

  #setTrigger(line: number, trigger: GpioTrigger, done: RequestDone): void {
    const { states, host, interrupts, onChange } = this.#parts;
    const before = states.trigger(line);
    const driven = states.direction(line) === VIRTIO_GPIO_DIRECTION_OUT;
    if (!this.#interruptsAllowed || (driven && trigger !== VIRTIO_GPIO_IRQ_TYPE_NONE)) {
      done(undefined);
      return;
    }
    // The same once more is a request that a dead process did not answer; its latch stays.
    if (before === trigger && trigger !== VIRTIO_GPIO_IRQ_TYPE_NONE) {
      done(0);
      return;
    }
    // Also where the driver forgot to disable another type first. A buffer that waits for one stays.
    const none = VIRTIO_GPIO_IRQ_TYPE_NONE;
    if (trigger === none || before !== none) this.#disable(line);
    if (trigger === none) {
      if (before === trigger) done(0);
      else host.arm(line, 0, this.#finish(done, NOTHING));
      return;
    }
    states.setTrigger(line, trigger);
    onChange({ event: 'trigger', line, trigger });
    const finish = this.#finish(done, () => {
      states.setTrigger(line, VIRTIO_GPIO_IRQ_TYPE_NONE);
      interrupts.refused(line);
    });
    // From this level on, so that an edge that nobody sees, for want of a process, shows later.
    host.getValue(line, (error, level) => {
      if (error === undefined) states.setLevel(line, level);
    });
    host.arm(line, edgesOf(trigger), (error) => {
      finish(error);
      if (error === undefined) interrupts.enabled(line);
    });
  }

  /** No interrupt, no buffer, no latch. */
  #disable(line: number): void {
    const { states, interrupts, onChange } = this.#parts;
    const trigger = VIRTIO_GPIO_IRQ_TYPE_NONE;
    interrupts.disabled(line);
    if (states.trigger(line) === trigger) return;
    states.setTrigger(line, trigger);
    onChange({ event: 'trigger', line, trigger });
  }

  #drive(line: number, direction: GpioDirection): void {
    const { states, host } = this.#parts;
    host.setDirection(line, direction, states.value(line), this.#logged(line));
  }

  /** An edge that came while nobody looked is seen by the level that it left. */
  #rearm(line: number): void {
    const { states, host, interrupts } = this.#parts;
    host.arm(line, edgesOf(states.trigger(line)), this.#logged(line));
    host.getValue(line, (error, level) => {
      if (error === undefined && level !== states.level(line)) interrupts.edge(line, level === 1);
    });
  }

  #finish(done: RequestDone, undo: () => void): (error?: GpioError) => void {
    const life = this.#life;
    return (error) => {
      if (life !== this.#life) return;
      if (error === undefined) done(0);
      else {
        undo();
        this.#failed(error);
        done(undefined);
      }
    };
  }

  #answer(done: RequestDone): (error: GpioError | undefined, value: number) => void {
    return (error, value) => {
      if (error !== undefined) this.#failed(error);
      done(error === undefined ? value : undefined);
    };
  }

  #logged(line: number): (error?: GpioError) => void {
    return (error) => {
      if (error === undefined) return;
      this.#parts.counters.hostErrors++;
      this.#parts.logger.warn({ err: error, line }, 'line not as the driver has been told');
    };
  }

  #failed(error: GpioError): void {
    this.#parts.counters.hostErrors++;
    this.#parts.logger.debug({ err: error }, 'request failed');
  }
}
