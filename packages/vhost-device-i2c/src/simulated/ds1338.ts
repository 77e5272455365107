import type { I2cChip } from './i2c-chip.ts';

// Registers, from the data sheet.
const SECONDS = 0;
const MINUTES = 1;
const HOURS = 2;
const DAY = 3;
const DATE = 4;
const MONTH = 5;
const YEAR = 6;
const CONTROL = 7;
const SIZE = 64;

const CH = 0x80;
const TWELVE_HOURS = 0x40;
const PM = 0x20;
const OSF = 0x20;
/** OUT, SQWE, RS1, RS0: set at power-on. */
const CONTROL_WRITABLE = 0x93;

const toBcd = (value: number): number => (Math.floor(value / 10) << 4) | (value % 10);
const fromBcd = (byte: number): number => (byte >> 4) * 10 + (byte & 0xf);

/** Options of {@link Ds1338}. */
export interface Ds1338Options {
  /** Milliseconds since 1970 UTC; default `Date.now`. */
  readonly now?: () => number;
}

/**
 * DS1338: a real-time clock with 56 bytes of battery-backed memory (0x08..0x3f). Starts with the
 * host's time, in UTC and 24-hour mode, and runs by the host's clock; setting it moves it against
 * the host's. Its years are 2000..2099.
 */
export class Ds1338 implements I2cChip {
  readonly #now: () => number;
  readonly #registers = new Uint8Array(SIZE);
  #pointer = 0;
  #addressed = false;
  /** Chip time less host time, milliseconds. */
  #offset = 0;
  /** Chip time at which the oscillator was stopped. */
  #halted: number | undefined;
  #twelveHours = false;
  /** Day-of-week register less the calendar's, >= 0: the user may count from any day. */
  #dayShift = 0;
  /** Which time registers were written since the START, as bits. */
  #dirty = 0;

  constructor(options: Ds1338Options = {}) {
    this.#now = options.now ?? Date.now;
    this.#registers[CONTROL] = CONTROL_WRITABLE;
  }

  /** The time registers are latched, so that a read of all of them is of one instant. */
  start(read: boolean): void {
    this.#commit();
    this.#latch();
    if (!read) this.#addressed = false;
  }

  write(byte: number): void {
    if (!this.#addressed) {
      this.#addressed = true;
      this.#pointer = byte % SIZE;
      return;
    }
    const register = this.#next();
    if (register === CONTROL) this.#writeControl(byte);
    else this.#registers[register] = byte;
    if (register <= YEAR) this.#dirty |= 1 << register;
  }

  read(): number {
    return this.#registers[this.#next()] as number;
  }

  stop(): void {
    this.#commit();
  }

  /** The register that the pointer is at; the pointer moves on, and wraps at the end. */
  #next(): number {
    const register = this.#pointer;
    this.#pointer = (register + 1) % SIZE;
    return register;
  }

  /** OSF can only be cleared by writing, never set. */
  #writeControl(byte: number): void {
    const osf = (this.#registers[CONTROL] as number) & byte & OSF;
    this.#registers[CONTROL] = (byte & CONTROL_WRITABLE) | osf;
  }

  get #time(): number {
    return this.#halted ?? this.#now() + this.#offset;
  }

  #latch(): void {
    const time = new Date(this.#time);
    const r = this.#registers;
    r[SECONDS] = toBcd(time.getUTCSeconds()) | (this.#halted === undefined ? 0 : CH);
    r[MINUTES] = toBcd(time.getUTCMinutes());
    r[HOURS] = this.#encodeHours(time.getUTCHours());
    r[DAY] = ((time.getUTCDay() + this.#dayShift) % 7) + 1;
    r[DATE] = toBcd(time.getUTCDate());
    r[MONTH] = toBcd(time.getUTCMonth() + 1);
    r[YEAR] = toBcd(time.getUTCFullYear() % 100);
  }

  #encodeHours(hours: number): number {
    if (!this.#twelveHours) return toBcd(hours);
    return TWELVE_HOURS | (hours >= 12 ? PM : 0) | toBcd(hours % 12 === 0 ? 12 : hours % 12);
  }

  #decodeHours(): number {
    const byte = this.#registers[HOURS] as number;
    this.#twelveHours = (byte & TWELVE_HOURS) !== 0;
    if (!this.#twelveHours) return fromBcd(byte & 0x3f);
    return (fromBcd(byte & 0x1f) % 12) + ((byte & PM) === 0 ? 0 : 12);
  }

  /** Takes over what was written into the time registers. Impossible dates carry over. */
  #commit(): void {
    if (this.#dirty === 0) return;
    const r = this.#registers;
    const secondsWritten = (this.#dirty & (1 << SECONDS)) !== 0;
    const dayWritten = (this.#dirty & (1 << DAY)) !== 0;
    this.#dirty = 0;

    const seconds = r[SECONDS] as number;
    const time = Date.UTC(
      2000 + fromBcd(r[YEAR] as number),
      fromBcd((r[MONTH] as number) & 0x1f) - 1,
      fromBcd((r[DATE] as number) & 0x3f),
      this.#decodeHours(),
      fromBcd((r[MINUTES] as number) & 0x7f),
      fromBcd(seconds & 0x7f),
      // Writing the seconds restarts the second; otherwise it goes on.
      secondsWritten ? 0 : new Date(this.#time).getUTCMilliseconds(),
    );
    if ((seconds & CH) === 0) {
      this.#halted = undefined;
      this.#offset = time - this.#now();
    } else {
      this.#halted = time;
      r[CONTROL] = (r[CONTROL] as number) | OSF;
    }
    if (dayWritten) this.#dayShift = ((r[DAY] as number) & 7) + 6 - new Date(time).getUTCDay();
  }
}
