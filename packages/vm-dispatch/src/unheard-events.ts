import type { SeatMessage } from './protocol.ts';

interface Event {
  readonly message: SeatMessage;
  readonly number: number;
}

/**
 * Messages that say that something happened (to a driver, or an interrupt) and that no later one says again: those
 * that a thread may have died before it did are for the next one.
 */
export class UnheardEvents {
  #events: Event[] = [];

  /**
   * @param number - of the message
   * @param heard - messages that the thread has done
   */
  add(message: SeatMessage, number: number, heard: number): void {
    const isEvent =
      message.type === 'tell' || (message.type === 'irq' && message.carrier === 'message');
    if (!isEvent) return;
    this.left(heard);
    this.#events.push({ message, number });
  }

  /** @param heard - messages that the thread has done */
  left(heard: number): void {
    // In order: as a rule all of them are heard.
    const first = this.#events.findIndex(({ number }) => number > heard);
    this.#events.splice(0, first < 0 ? this.#events.length : first);
  }

  /** Those that another thread is to be told. */
  take(): SeatMessage[] {
    return this.#events.splice(0).map(({ message }) => message);
  }
}
