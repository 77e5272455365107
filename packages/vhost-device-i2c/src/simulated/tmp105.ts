import { DeviceCommandError } from '@node-vmm/vhost-user-backend';
import type { ChipInput, I2cChip } from './i2c-chip.ts';

const TEMPERATURE = 0;
const CONFIGURATION = 1;
const T_LOW = 2;
const T_HIGH = 3;
const POINTER_MASK = 0x03;

const OS = 0x80;
const RESOLUTION_SHIFT = 5;
const RESOLUTION_MASK = 0x03;
const SD = 0x01;

const LEAST_BITS = 9;
/** A register's sixteen bits count 1/256 of a degree; twelve of them exist. */
const PER_DEGREE = 16;
const UNUSED_BITS = 4;
const LIMIT_BITS = 0xfff0;

const COLDEST = -128;
const HOTTEST = 128;

/** Options of {@link Tmp105}. */
export interface Tmp105Options {
  /** Degrees Celsius around it, -128 to 128; default 25. */
  readonly temperature?: number;
}

/**
 * TMP105: a thermometer with the registers of the LM75, which Linux's driver lm75 knows. It measures
 * what the input `temperature` says, to 1/16 of a degree, and shows the 9 to 12 bits that its
 * configuration asks for (9 after power-on). A conversion takes no time; in shutdown mode there is none
 * but at a one-shot. Nothing is connected to its ALERT pin.
 *
 * Texas Instruments' data sheet (SLLS648), "Pointer Register" to "High- and Low-Limit Registers". What it
 * leaves undefined: reads go on in the same register, and what is written beyond it is ignored.
 */
export class Tmp105 implements I2cChip {
  readonly inputs: ReadonlyMap<string, ChipInput>;
  /** Sixteen bits each; the configuration is the high byte. */
  readonly #registers = new Uint16Array(T_HIGH + 1);
  #celsius: number;
  #pointer = TEMPERATURE;
  /** Bytes of the message so far, the pointer included. */
  #bytes = 0;
  /** High byte of a limit, whose low byte has not come yet. */
  #high = 0;

  /** @throws {RangeError} when the temperature is out of range */
  constructor({ temperature = 25 }: Tmp105Options = {}) {
    if (!(temperature >= COLDEST && temperature <= HOTTEST)) {
      throw new RangeError(`"temperature" expected ${COLDEST} to ${HOTTEST}, got ${temperature}`);
    }
    this.#celsius = temperature;
    this.#registers[T_LOW] = 75 << 8;
    this.#registers[T_HIGH] = 80 << 8;
    this.#convert();
    const input: ChipInput = {
      usage: `[<degrees Celsius, ${COLDEST} to ${HOTTEST}>]`,
      command: (words) => this.#setTemperature(words),
    };
    this.inputs = new Map([['temperature', input]]);
  }

  start(): void {
    this.#bytes = 0;
  }

  write(byte: number): void {
    const at = this.#bytes++;
    if (at === 0) this.#pointer = byte & POINTER_MASK;
    else if (this.#pointer === CONFIGURATION) {
      if (at === 1) this.#configure(byte);
    } else if (this.#pointer !== TEMPERATURE) {
      if (at === 1) this.#high = byte;
      if (at === 2) this.#registers[this.#pointer] = ((this.#high << 8) | byte) & LIMIT_BITS;
    }
  }

  read(): number {
    const value = this.#registers[this.#pointer] as number;
    const high = this.#bytes++ % 2 === 0 || this.#pointer === CONFIGURATION;
    return high ? value >>> 8 : value & 0xff;
  }

  /** @returns degrees: around it, and as its registers have them */
  state(): object {
    const degrees = (register: number): number =>
      (((this.#registers[register] as number) << 16) >> 16) / 256;
    return {
      chip: 'tmp105',
      temperature: this.#celsius,
      register: degrees(TEMPERATURE),
      configuration: this.#configuration,
      low: degrees(T_LOW),
      high: degrees(T_HIGH),
    };
  }

  get #configuration(): number {
    return (this.#registers[CONFIGURATION] as number) >>> 8;
  }

  /** OS always reads as zero. */
  #configure(byte: number): void {
    this.#registers[CONFIGURATION] = (byte & ~OS) << 8;
    if ((byte & SD) === 0 || (byte & OS) !== 0) this.#convert();
  }

  /** Bits beyond the resolution are zero. */
  #convert(): void {
    const sixteenths = Math.round(this.#celsius * PER_DEGREE);
    const clamped = Math.max(-0x800, Math.min(0x7ff, sixteenths));
    const bits = LEAST_BITS + ((this.#configuration >>> RESOLUTION_SHIFT) & RESOLUTION_MASK);
    this.#registers[TEMPERATURE] = (clamped << UNUSED_BITS) & (0xffff << (16 - bits));
  }

  #setTemperature(words: readonly string[]): object {
    const [text, ...rest] = words;
    if (text === undefined) return { temperature: this.#celsius };
    const celsius = Number(text);
    if (
      rest.length > 0 ||
      !/^[+-]?\d+(\.\d+)?$/.test(text) ||
      celsius < COLDEST ||
      celsius > HOTTEST
    ) {
      throw new DeviceCommandError(
        'USAGE',
        `Cannot set the temperature to "${words.join(' ')}": give degrees Celsius, ${COLDEST} to ${HOTTEST}`,
      );
    }
    this.#celsius = celsius;
    if ((this.#configuration & SD) === 0) this.#convert();
    return { temperature: celsius };
  }
}
