import { deserialize, serialize } from 'node:v8';
import type { EventFd, Fd, Poller, Watch } from '@node-vmm/vmm-sys-util';
import type { SharedRing } from './shared-ring.ts';

/** What the other thread needs to make the other end of a channel. */
export interface ChannelEnds {
  /** Of the end that is made of this. */
  readonly outgoing: SharedArrayBuffer;
  readonly incoming: SharedArrayBuffer;
  /** Eventfds that say that something was pushed, or taken where room was waited for. */
  readonly outgoingFd: Fd;
  readonly incomingFd: Fd;
}

/**
 * Messages between two threads, each way by a ring in shared memory and an eventfd. What finds no room
 * waits here: how much that can be is for those who post to bound.
 */
export class Channel<Out, In> {
  readonly #outgoing: SharedRing;
  readonly #incoming: SharedRing;
  readonly #out: EventFd;
  readonly #in: EventFd;
  readonly #onMessage: (message: In) => void;
  #waiting: Uint8Array[] = [];
  #taking = false;

  constructor(
    parts: {
      readonly outgoing: SharedRing;
      readonly incoming: SharedRing;
      readonly out: EventFd;
      readonly in: EventFd;
    },
    onMessage: (message: In) => void,
  ) {
    this.#outgoing = parts.outgoing;
    this.#incoming = parts.incoming;
    this.#out = parts.out;
    this.#in = parts.in;
    this.#onMessage = onMessage;
  }

  /** @throws {RangeError} when the message is larger than a ring, or holds what cannot be cloned */
  post(message: Out): void {
    const record = serialize(message);
    if (this.#waiting.length > 0 || !this.#outgoing.push(record)) this.#waiting.push(record);
    this.#out.signal();
  }

  watch(poller: Poller): Watch {
    return poller.watch(this.#in.fd, { readable: true }, () => {
      this.#in.drain();
      this.take();
    });
  }

  /** Takes all that the other thread has posted, in order; cheap where that is nothing. */
  take(): void {
    if (this.#waiting.length > 0) this.#flush();
    if (this.#taking || this.#incoming.empty) return;
    this.#taking = true;
    try {
      for (let record = this.#incoming.take(); record; record = this.#incoming.take()) {
        this.#onMessage(deserialize(record) as In);
      }
    } finally {
      this.#taking = false;
    }
    // The other thread may wait for room.
    this.#out.signal();
  }

  #flush(): void {
    let sent = 0;
    while (sent < this.#waiting.length && this.#outgoing.push(this.#waiting[sent] as Uint8Array)) {
      sent++;
    }
    if (sent === 0) return;
    this.#waiting = this.#waiting.slice(sent);
    this.#out.signal();
  }
}
