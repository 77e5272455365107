import { errorMessage } from '@node-vmm/vmm-sys-util';
import { checkI2cAddress } from '../address.ts';
import { I2cError } from '../errors.ts';
import {
  I2C_MESSAGE_MAX,
  I2C_TRANSFER_MAX,
  type I2cHost,
  type I2cMessage,
  type I2cTransferDone,
} from '../i2c-host.ts';
import type { I2cChip } from './i2c-chip.ts';

/**
 * A bus of simulated chips. All of them see each START and STOP, whoever is addressed, and however a
 * chip fails. Transfers take no time; on a `SlowBus` around it they do.
 */
export class SimulatedBus implements I2cHost {
  readonly name: string;
  readonly #chips = new Map<number, I2cChip>();
  /** Each chip once, at however many addresses it is. */
  readonly #all = new Set<I2cChip>();

  constructor(name = 'simulated') {
    this.name = name;
  }

  get chips(): ReadonlyMap<number, I2cChip> {
    return this.#chips;
  }

  /** Addresses at which there is a chip. */
  get addresses(): number[] {
    return [...this.#chips.keys()];
  }

  /**
   * Puts a chip on the bus. One chip may answer at several addresses.
   *
   * @throws {RangeError} when the address is out of range or taken
   */
  attach(address: number, chip: I2cChip): this {
    checkI2cAddress(address);
    if (this.#chips.has(address)) {
      throw new RangeError(`"address" expected a free one, got ${address}, where there is a chip`);
    }
    this.#chips.set(address, chip);
    this.#all.add(chip);
    return this;
  }

  /** What Linux would not take fails here, too: a test must not succeed where an adapter would not. */
  transfer(messages: readonly I2cMessage[], done: I2cTransferDone): void {
    const tooMuch = beyondLimits(messages);
    if (tooMuch !== undefined) {
      done(0, tooMuch);
      return;
    }
    let succeeded = 0;
    try {
      while (succeeded < messages.length && this.#message(messages[succeeded] as I2cMessage)) {
        succeeded++;
      }
    } catch (error) {
      this.#stopAfterFailure();
      done(0, chipFailed(error));
      return;
    }
    try {
      this.#stop();
    } catch (error) {
      done(0, chipFailed(error));
      return;
    }
    done(succeeded);
  }

  /** @returns true when everything was acknowledged */
  #message({ address, read, data }: I2cMessage): boolean {
    const chip = this.#chips.get(address);
    this.#tell((other) => {
      if (other !== chip) other.otherStart?.();
    });
    if (chip === undefined || chip.start?.(read) === false) return false;
    for (let i = 0; i < data.length; i++) {
      if (read) data[i] = chip.read();
      else if (chip.write(data[i] as number) === false) return false;
    }
    return true;
  }

  #stop(): void {
    this.#tell((chip) => chip.stop?.());
  }

  #stopAfterFailure(): void {
    try {
      this.#stop();
    } catch {
      // The first failure is the one to tell.
    }
  }

  /** Tells every chip, the others too when one throws. */
  #tell(what: (chip: I2cChip) => void): void {
    const failures: unknown[] = [];
    for (const chip of this.#all) {
      try {
        what(chip);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw chipFailed(failures[0]);
  }

  [Symbol.dispose](): void {
    this.#chips.clear();
    this.#all.clear();
  }
}

function beyondLimits(messages: readonly I2cMessage[]): I2cError | undefined {
  if (messages.length > I2C_TRANSFER_MAX) {
    const text = `Cannot transfer: ${messages.length} messages are more than ${I2C_TRANSFER_MAX}`;
    return new I2cError('NOT_SUPPORTED', text);
  }
  const long = messages.find(({ data }) => data.length > I2C_MESSAGE_MAX);
  if (long === undefined) return undefined;
  const text = `Cannot transfer: a message of ${long.data.length} bytes is over ${I2C_MESSAGE_MAX}`;
  return new I2cError('NOT_SUPPORTED', text, { address: long.address });
}

function chipFailed(error: unknown): I2cError {
  if (I2cError.is(error)) return error;
  const text = `Cannot transfer: a simulated chip threw: ${errorMessage(error)}`;
  return new I2cError('CHIP_FAILED', text, {}, { cause: error });
}
