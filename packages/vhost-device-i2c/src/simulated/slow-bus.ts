import { type Poller, TimerFd, type Watch } from '@node-vmm/vmm-sys-util';
import type { I2cHost, I2cMessage, I2cTransferDone } from '../i2c-host.ts';
import type { I2cChip } from './i2c-chip.ts';

interface Transfer {
  readonly messages: readonly I2cMessage[];
  readonly done: I2cTransferDone;
}

/** A bus whose chips take their time, as those that stretch the clock: the bus waits for them. */
export class SlowBus implements I2cHost {
  readonly name: string;
  readonly chips: ReadonlyMap<number, I2cChip> | undefined;
  readonly #bus: I2cHost;
  readonly #latency: (address: number) => number;
  readonly #timer = new TimerFd();
  readonly #watch: Watch;
  #waiting: Transfer | undefined;
  #live = true;

  /**
   * @param bus - makes the transfers when their time is over; becomes this bus's, which disposes of it
   * @param latency - milliseconds that a message to an address takes, integers >= 0
   * @param poller - of the thread that uses the bus
   * @throws {SysError} when there are no descriptors left
   */
  constructor(bus: I2cHost, latency: (address: number) => number, poller: Poller) {
    this.name = bus.name;
    this.chips = bus.chips;
    this.#bus = bus;
    this.#latency = latency;
    this.#watch = poller.watch(this.#timer.fd, { readable: true }, this.#onTimer);
  }

  transfer(messages: readonly I2cMessage[], done: I2cTransferDone): void {
    const time = messages.reduce((sum, { address }) => sum + this.#latency(address), 0);
    if (time === 0) {
      this.#bus.transfer(messages, done);
      return;
    }
    this.#waiting = { messages, done };
    this.#timer.set(time);
  }

  readonly #onTimer = (): void => {
    const transfer = this.#waiting;
    if (!this.#timer.drain() || transfer === undefined) return;
    this.#waiting = undefined;
    this.#bus.transfer(transfer.messages, transfer.done);
  };

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#watch.close();
    this.#timer.close();
    this.#bus[Symbol.dispose]();
  }
}
