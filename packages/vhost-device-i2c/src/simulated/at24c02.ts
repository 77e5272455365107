import { DeviceCommandError } from '@node-vmm/vhost-user-backend';
import { hex } from '../hex.ts';
import type { ChipInput, ChipMemory, I2cChip } from './i2c-chip.ts';

const SIZE = 256;
const PAGE = 8;

/** Options of {@link At24c02}. */
export interface At24c02Options {
  /** Contents at power-on, up to 256 bytes; the rest is erased (0xff). */
  readonly contents?: Uint8Array;
  /**
   * How long a write takes, milliseconds: the chip does not acknowledge its address meanwhile. The
   * data sheet's maximum is 5; default 0, so that users without polling see their data.
   */
  readonly writeCycle?: number;
  /** Milliseconds, monotonic; default `performance.now`. */
  readonly now?: () => number;
}

/**
 * 24C02: 256 bytes of EEPROM. A write fills a buffer of one page of 8 bytes, in which the address
 * wraps, and is programmed at the STOP that ends it; reads go on through the whole memory and wrap at
 * its end.
 *
 * Atmel's data sheet of the AT24C02B (5126), "Write Operations" and "Read Operations": a write must be
 * terminated by a STOP, which starts the write cycle. A repeated START in its place, this chip's
 * address after it or another, abandons the write ("Device Addressing": the chip returns to standby);
 * the address counter stays where the bytes moved it.
 */
export class At24c02 implements I2cChip {
  readonly inputs: ReadonlyMap<string, ChipInput>;
  readonly kept: ChipMemory;
  readonly #page = new Uint8Array(PAGE);
  readonly #writeCycle: number;
  readonly #now: () => number;
  #memory: Uint8Array = new Uint8Array(SIZE).fill(0xff);
  #address = 0;
  /** Bytes of the write that no STOP or START has ended yet, the word address included. */
  #received = 0;
  #busyUntil = Number.NEGATIVE_INFINITY;

  constructor(options: At24c02Options = {}) {
    this.#memory.set(options.contents ?? []);
    this.#writeCycle = options.writeCycle ?? 0;
    this.#now = options.now ?? (() => performance.now());
    const usage = '[<from> [<hexadecimal bytes>]]';
    const command = (words: readonly string[]): object => this.#contents(words);
    this.inputs = new Map([['contents', { usage, command }]]);
    const adopt = (bytes: Uint8Array, fresh: boolean): void => {
      if (fresh) bytes.set(this.#memory);
      this.#memory = bytes;
    };
    this.kept = { layout: '24c02-1', size: SIZE, adopt };
  }

  /** The memory's contents: what it has, not a copy. */
  get memory(): Uint8Array {
    return this.#memory;
  }

  start(): boolean {
    this.#received = 0;
    return this.#now() >= this.#busyUntil;
  }

  otherStart(): void {
    this.#received = 0;
  }

  write(byte: number): void {
    if (this.#received === 0) {
      this.#address = byte;
      this.#page.set(this.#memory.subarray(this.#pageStart, this.#pageStart + PAGE));
    } else {
      this.#page[this.#address % PAGE] = byte;
      this.#address = this.#pageStart + ((this.#address + 1) % PAGE);
    }
    this.#received++;
  }

  read(): number {
    const byte = this.#memory[this.#address] as number;
    this.#address = (this.#address + 1) % SIZE;
    return byte;
  }

  stop(): void {
    if (this.#received > 1) {
      this.#memory.set(this.#page, this.#pageStart);
      if (this.#writeCycle > 0) this.#busyUntil = this.#now() + this.#writeCycle;
    }
    this.#received = 0;
  }

  /** @returns contents, hexadecimal */
  state(): object {
    return { chip: '24c02', contents: hex(this.#memory) };
  }

  /** Reads from an address on, or writes there, whatever the chip is doing: a programmer's clip. */
  #contents(words: readonly string[]): object {
    const [where = '0', digits, ...rest] = words;
    const from = Number(where);
    const right =
      rest.length === 0 &&
      /^(0[xX][0-9a-fA-F]+|\d+)$/.test(where) &&
      from < SIZE &&
      /^([0-9a-fA-F]{2})*$/.test(digits ?? '') &&
      from + (digits ?? '').length / 2 <= SIZE;
    if (!right) {
      throw new DeviceCommandError(
        'USAGE',
        `Cannot use the contents: "${words.join(' ')}" is no address of 0 to 255 and hexadecimal bytes that have room there`,
      );
    }
    if (digits === undefined) return { from, contents: hex(this.#memory.subarray(from)) };
    this.#memory.set(Buffer.from(digits, 'hex'), from);
    return { from, contents: digits.toLowerCase() };
  }

  get #pageStart(): number {
    return this.#address - (this.#address % PAGE);
  }
}
