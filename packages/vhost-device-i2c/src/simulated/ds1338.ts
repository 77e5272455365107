import { advance, CH, SECONDS, setTime, TIME_REGISTERS } from './bcd-calendar.ts';
import type { I2cChip } from './i2c-chip.ts';

/** Follows the time registers; the memory follows it. */
const CONTROL = TIME_REGISTERS;
const SIZE = 64;

const OSF = 0x20;
/** OUT, SQWE, RS1, RS0: set at power-on. */
const CONTROL_WRITABLE = 0x93;
/** Bits of the time registers that exist; the others read as zero (table 3 of the data sheet). */
const TIME_BITS = [0xff, 0x7f, 0x7f, 0x07, 0x3f, 0x1f, 0xff];
const SECOND_MS = 1000;

/** Options of {@link Ds1338}. */
export interface Ds1338Options {
  /** Milliseconds since 1970 UTC; default `Date.now`. Read once at each START. */
  readonly now?: () => number;
}

/**
 * DS1338: a real-time clock with 56 bytes of battery-backed memory (0x08..0x3f). Its registers hold
 * what is written to them, and its oscillator counts them on: nothing is worked out from a date. It
 * starts as a chip that was set before, to the host's time in UTC and in 24-hour mode.
 *
 * The oscillator takes its pace from the host's clock, but is not set by it: when that is set back
 * the chip goes on from where it is.
 *
 * Maxim's data sheet (19-6019), "Clock and Calendar" and "Control Register"; what it leaves undefined
 * are illogical entries, which are kept until they are counted on.
 */
export class Ds1338 implements I2cChip {
  readonly #now: () => number;
  readonly #registers = new Uint8Array(SIZE);
  #pointer = 0;
  #addressed = false;
  /** Host time up to which the oscillator has been followed. */
  #followed: number | undefined;
  /** Countdown chain: milliseconds of the current second that are over. */
  #chain = 0;

  constructor(options: Ds1338Options = {}) {
    this.#now = options.now ?? Date.now;
    this.#registers[CONTROL] = CONTROL_WRITABLE;
  }

  /**
   * The chip copies the time at a START, and when the pointer wraps to it, so that what is read is of
   * one instant while the clock runs on. Here no time passes until the next START: the same to see.
   */
  start(read: boolean): void {
    this.#follow(this.#now());
    if (!read) this.#addressed = false;
  }

  /** Every byte takes effect at its acknowledge. */
  write(byte: number): void {
    if (!this.#addressed) {
      this.#addressed = true;
      this.#pointer = byte % SIZE;
      return;
    }
    const register = this.#next();
    if (register === SECONDS) this.#writeSeconds(byte);
    else if (register === CONTROL) this.#writeControl(byte);
    else this.#registers[register] = byte & (TIME_BITS[register] ?? 0xff);
  }

  read(): number {
    return this.#registers[this.#next()] as number;
  }

  /** The register that the pointer is at; the pointer moves on, and wraps at the end. */
  #next(): number {
    const register = this.#pointer;
    this.#pointer = (register + 1) % SIZE;
    return register;
  }

  get #halted(): boolean {
    return ((this.#registers[SECONDS] as number) & CH) !== 0;
  }

  /** Resets the countdown chain; the second begins anew. OSF tells that the oscillator stopped. */
  #writeSeconds(byte: number): void {
    if (!this.#halted && (byte & CH) !== 0) {
      this.#registers[CONTROL] = (this.#registers[CONTROL] as number) | OSF;
    }
    this.#registers[SECONDS] = byte;
    this.#chain = 0;
  }

  /** OSF can only be cleared by writing, never set. */
  #writeControl(byte: number): void {
    const osf = (this.#registers[CONTROL] as number) & byte & OSF;
    this.#registers[CONTROL] = (byte & CONTROL_WRITABLE) | osf;
  }

  /** Lets the time since the last START go by. */
  #follow(now: number): void {
    const since = this.#followed;
    this.#followed = now;
    if (since === undefined) {
      setTime(this.#registers, now);
      this.#chain = now - Math.floor(now / SECOND_MS) * SECOND_MS;
      return;
    }
    if (this.#halted || now <= since) return;
    this.#chain += now - since;
    const seconds = Math.floor(this.#chain / SECOND_MS);
    this.#chain -= seconds * SECOND_MS;
    advance(this.#registers, seconds);
  }
}
