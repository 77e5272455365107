import { DeviceCommandError } from '@node-vmm/vhost-user-backend';
import { hex } from '../hex.ts';
import { advance, CH, readTime, SECONDS, setTime, TIME_REGISTERS } from './bcd-calendar.ts';
import type { ChipInput, ChipMemory, I2cChip } from './i2c-chip.ts';
import { TwoCopies } from './two-copies.ts';

/** Follows the time registers; the memory follows it. */
const CONTROL = TIME_REGISTERS;
const SIZE = 64;

const OSF = 0x20;
/** OUT, SQWE, RS1, RS0: set at power-on. */
const CONTROL_WRITABLE = 0x93;
/** Bits of the time registers that exist; the others read as zero (table 3 of the data sheet). */
const TIME_BITS = [0xff, 0x7f, 0x7f, 0x07, 0x3f, 0x1f, 0xff];
const SECOND_MS = 1000;
const FIRST_TIME = Date.UTC(2000, 0);
const LAST_TIME = Date.UTC(2100, 0) - 1;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/;

/** What it keeps: the registers, then `followed` and `chain` as doubles. */
const FOLLOWED = SIZE;
const CHAIN = FOLLOWED + 8;
const KEPT = CHAIN + 8;

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
  readonly inputs: ReadonlyMap<string, ChipInput>;
  /** By its battery. The oscillator has run on meanwhile. */
  readonly kept: ChipMemory;
  readonly #now: () => number;
  #copies: TwoCopies | undefined;
  /** Something has happened since the last STOP. */
  #touched = false;
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
    const usage = '[<2028-02-29T23:59:58Z>|host]';
    const command = (words: readonly string[]): object => this.#setTime(words);
    this.inputs = new Map([['time', { usage, command }]]);
    const adopt = (bytes: Uint8Array, fresh: boolean): void => this.#adopt(bytes, fresh);
    this.kept = { layout: 'ds1338-1', size: TwoCopies.size(KEPT), adopt };
  }

  /**
   * The chip copies the time at a START, and when the pointer wraps to it, so that what is read is of
   * one instant while the clock runs on. Here no time passes until the next START: the same to see.
   */
  start(read: boolean): void {
    this.#follow(this.#now());
    if (!read) this.#addressed = false;
    this.#touched = true;
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

  stop(): void {
    if (this.#touched) this.#keep();
    this.#touched = false;
  }

  /** @returns its time, and all registers, hexadecimal */
  state(): object {
    this.#follow(this.#now());
    const halted = this.#halted;
    const registers = hex(this.#registers);
    return { chip: 'ds1338', time: readTime(this.#registers), halted, registers };
  }

  /** Sets the clock as its owner would, by hand: in 24-hour mode, and running. */
  #setTime(words: readonly string[]): object {
    const [text, ...rest] = words;
    const now = this.#now();
    this.#follow(now);
    if (text !== undefined) {
      const time = text === 'host' ? now : ISO_TIME.test(text) ? Date.parse(text) : Number.NaN;
      if (rest.length > 0 || !(time >= FIRST_TIME && time <= LAST_TIME)) {
        throw new DeviceCommandError(
          'USAGE',
          `Cannot set the clock to "${words.join(' ')}": give a time such as 2028-02-29T23:59:58Z, of 2000 to 2099, or "host"`,
        );
      }
      setTime(this.#registers, time);
      this.#registers[CONTROL] = (this.#registers[CONTROL] as number) & ~OSF;
      this.#chain = time % SECOND_MS;
      this.#keep();
    }
    return { time: readTime(this.#registers) };
  }

  #adopt(bytes: Uint8Array, fresh: boolean): void {
    const copies = new TwoCopies(bytes, KEPT);
    this.#copies = copies;
    if (fresh) {
      this.#follow(this.#now());
      this.#keep();
      return;
    }
    const kept = copies.current;
    const view = new DataView(kept.buffer, kept.byteOffset, kept.length);
    this.#registers.set(kept.subarray(0, SIZE));
    this.#followed = view.getFloat64(FOLLOWED, true);
    this.#chain = view.getFloat64(CHAIN, true);
  }

  #keep(): void {
    this.#copies?.store((bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      bytes.set(this.#registers);
      view.setFloat64(FOLLOWED, this.#followed ?? 0, true);
      view.setFloat64(CHAIN, this.#chain, true);
    });
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
