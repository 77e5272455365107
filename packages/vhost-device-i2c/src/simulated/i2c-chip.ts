/** False: not acknowledged. Anything else, nothing included, acknowledges. */
// biome-ignore lint/suspicious/noConfusingVoidType: methods without a result are the usual case
export type Acknowledgement = boolean | void;

/**
 * Something of a simulated chip that is driven from outside of its bus, as the air is that a
 * thermometer measures.
 */
export interface ChipInput {
  /** What may follow its name, for messages: `[<degrees>]`. */
  readonly usage: string;
  /**
   * Does what is asked for, between two transfers.
   *
   * @param words - what follows the name; none asks what it is now
   * @returns a plain object of JSON; undefined when there is nothing to say
   * @throws {DeviceCommandError} USAGE, REFUSED
   */
  command(words: readonly string[]): object | undefined;
}

/** What a simulated chip keeps without power, or with a battery. */
export interface ChipMemory {
  /** What the bytes mean, with a version: `24c02-1`. */
  readonly layout: string;
  /** Bytes. */
  readonly size: number;
  /**
   * Goes on with memory that outlives the process, before anything happens on the bus.
   *
   * @param bytes - `size` of them, as the chip left them; or zeros
   * @param fresh - nothing was kept before: what the chip has now is to be put there
   */
  adopt(bytes: Uint8Array, fresh: boolean): void;
}

/**
 * A simulated chip: what happens on the bus, as its data sheet tells it. Everything is synchronous,
 * and one transfer at a time. Like a real one it sees every START and every STOP, and bytes only
 * after a START with its own address.
 *
 * @example a chip with one register that counts how often it was read
 * ```ts
 * class ReadCounter implements I2cChip {
 *   #reads = 0;
 *   write() {}
 *   read() {
 *     return this.#reads++;
 *   }
 * }
 * ```
 */
export interface I2cChip {
  /**
   * START, or repeated START, with this chip's address: a message to it begins.
   *
   * @param read - the master is going to read
   * @returns false while the chip is busy
   */
  start?(read: boolean): Acknowledgement;
  /**
   * START, or repeated START, with another address. A message to this chip that had no STOP is over
   * without one: what waits for the STOP does not happen.
   */
  otherStart?(): void;
  /**
   * The master writes a byte.
   *
   * @param byte - 0..255
   * @returns false when the chip does not take the byte
   */
  write(byte: number): Acknowledgement;
  /**
   * The master reads a byte.
   *
   * @returns 0..255; of larger values the low byte counts
   */
  read(): number;
  /** STOP: the transfer is over, whether this chip took part in it or not. */
  stop?(): void;

  /** What can be driven from outside, by name: the command `chip <address> <name> ...`. */
  readonly inputs?: ReadonlyMap<string, ChipInput>;
  /** What there is to see from outside, a plain object of JSON: the commands `state` and `chip <address>`. */
  state?(): object;
  /** What outlives the process, where the daemon has a state directory. */
  readonly kept?: ChipMemory;
}
