import {
  VIRTIO_GPIO_DIRECTION_IN,
  VIRTIO_GPIO_DIRECTION_NONE,
  VIRTIO_GPIO_DIRECTION_OUT,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH,
  VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH,
  VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW,
  VIRTIO_GPIO_IRQ_TYPE_NONE,
} from '@node-vmm/virtio-bindings/gpio';
import type { GpioDirection, GpioLevel } from './gpio-host.ts';

/** Ours: what the bytes mean, for `DeviceContext.state`. Another meaning needs another name. */
export const GPIO_STATE_LAYOUT = 'gpio-1';

/** VIRTIO_GPIO_IRQ_TYPE_* of VIRTIO 1.3 §5.18.6. */
export type GpioTrigger = 0 | 1 | 2 | 3 | 4 | 8;

// A line is one byte, so that a process that is killed leaves no half of a state behind.
const DIRECTION = 0b11;
const VALUE = 1 << 2;
const TRIGGER_SHIFT = 3;
const TRIGGER = 0b111 << TRIGGER_SHIFT;
const LATCH = 1 << 6;
const LEVEL = 1 << 7;

/** By the number that the byte has of it. */
const TRIGGERS: readonly GpioTrigger[] = [0, 1, 2, 3, 4, 8];

/** True for a value that VIRTIO_GPIO_MSG_SET_DIRECTION may have. */
export function isDirection(value: number): value is GpioDirection {
  return (
    value === VIRTIO_GPIO_DIRECTION_NONE ||
    value === VIRTIO_GPIO_DIRECTION_OUT ||
    value === VIRTIO_GPIO_DIRECTION_IN
  );
}

/** True for a value that VIRTIO_GPIO_MSG_SET_IRQ_TYPE may have. */
export function isTrigger(value: number): value is GpioTrigger {
  return (TRIGGERS as readonly number[]).includes(value);
}

/** True for the triggers whose interrupts are latched. */
export function isEdgeTrigger(trigger: GpioTrigger): boolean {
  return trigger !== VIRTIO_GPIO_IRQ_TYPE_NONE && trigger <= VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH;
}

/** True where a line of that level interrupts by itself. */
export function isActiveLevel(trigger: GpioTrigger, level: GpioLevel): boolean {
  return (
    trigger === (level === 1 ? VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH : VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW)
  );
}

/**
 * What has been told of the lines: direction, value, trigger, latch, and which level was last seen. In
 * memory that may outlive the process; whatever that holds is made a state that there can be.
 */
export class LineStates {
  readonly #bytes: Uint8Array;

  /** @param bytes - one for each line; zeros are lines after power-on */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    for (let line = 0; line < bytes.length; line++) this.#check(line);
  }

  /** Number of lines. */
  get length(): number {
    return this.#bytes.length;
  }

  #check(line: number): void {
    const byte = this.#at(line);
    const driven = (byte & DIRECTION) === VIRTIO_GPIO_DIRECTION_OUT;
    const code = (byte & TRIGGER) >>> TRIGGER_SHIFT;
    const possible =
      isDirection(byte & DIRECTION) &&
      code < TRIGGERS.length &&
      !(driven && code !== 0) &&
      ((byte & LATCH) === 0 || isEdgeTrigger(TRIGGERS[code] ?? 0));
    if (!possible) this.clear(line);
  }

  direction(line: number): GpioDirection {
    return (this.#at(line) & DIRECTION) as GpioDirection;
  }

  /** What the line drives as output, or will drive. */
  value(line: number): GpioLevel {
    return (this.#at(line) & VALUE) === 0 ? 0 : 1;
  }

  trigger(line: number): GpioTrigger {
    return TRIGGERS[(this.#at(line) & TRIGGER) >>> TRIGGER_SHIFT] ?? VIRTIO_GPIO_IRQ_TYPE_NONE;
  }

  /** An edge waits for the driver to unmask the line. */
  latched(line: number): boolean {
    return (this.#at(line) & LATCH) !== 0;
  }

  /** Level that the line was last seen at from outside. */
  level(line: number): GpioLevel {
    return (this.#at(line) & LEVEL) === 0 ? 0 : 1;
  }

  /** True where nothing is to be given back. */
  idle(line: number): boolean {
    return (this.#at(line) & (DIRECTION | TRIGGER)) === 0;
  }

  setDirection(line: number, direction: GpioDirection): void {
    this.#bytes[line] = (this.#at(line) & ~DIRECTION) | direction;
  }

  setValue(line: number, value: GpioLevel): void {
    this.#set(line, VALUE, value === 1);
  }

  /** Another trigger; the latch is dropped. */
  setTrigger(line: number, trigger: GpioTrigger): void {
    const code = TRIGGERS.indexOf(trigger) << TRIGGER_SHIFT;
    this.#bytes[line] = (this.#at(line) & ~(TRIGGER | LATCH)) | code;
  }

  unlatch(line: number): void {
    this.#set(line, LATCH, false);
  }

  /** A line was seen at another level, and interrupts by that; both are there, or neither. */
  setLatchedAt(line: number, level: GpioLevel): void {
    this.#bytes[line] = (this.#at(line) & ~LEVEL) | LATCH | (level === 1 ? LEVEL : 0);
  }

  setLevel(line: number, level: GpioLevel): void {
    this.#set(line, LEVEL, level === 1);
  }

  /** Back to the state after power-on; the level outside is not the device's. */
  clear(line: number): void {
    this.#bytes[line] = this.#at(line) & LEVEL;
  }

  #at(line: number): number {
    return this.#bytes[line] ?? 0;
  }

  #set(line: number, bit: number, on: boolean): void {
    const byte = this.#at(line);
    const next = on ? byte | bit : byte & ~bit;
    if (next !== byte) this.#bytes[line] = next;
  }
}
