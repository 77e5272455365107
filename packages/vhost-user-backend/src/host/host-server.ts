import { setImmediate } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { asFd, EventFd } from '@node-vmm/vmm-sys-util';
import {
  HOST_PULSE,
  type HostControl,
  type HostEvent,
  type HostMessage,
  type HostRequest,
  hostErrorRecord,
} from '../between/host-protocol.ts';
import type { Host } from '../host-thread.ts';

interface Connection {
  readonly id: number;
  readonly port: MessagePort;
  /** The main thread's. */
  readonly wake: EventFd;
  /** The one that the host works on is the first. */
  readonly requests: unknown[];
  /** It has a place among the turns, or has its turn. */
  inTurn: boolean;
  open: boolean;
}

/**
 * The host thread's side: takes requests from all connections and has the host answer them, one at a
 * time. Connections take turns: one that asks for much waits for its own requests, and the others for
 * no more than one of each.
 */
export class HostServer {
  readonly #host: Host;
  readonly #control: MessagePort;
  readonly #pulse: Int32Array;
  readonly #connections = new Set<Connection>();
  /** Connections that have requests, in the order of their turns. */
  readonly #turns: Connection[] = [];
  #serving = false;
  #ending = false;
  #settle: () => void = () => undefined;
  /** Resolves when the main thread wanted the end, and the host has come back. */
  readonly ended: Promise<void>;

  /** @param control - to the main thread */
  constructor(host: Host, control: MessagePort, pulse: Int32Array) {
    this.#host = host;
    this.#control = control;
    this.#pulse = pulse;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    control.on('message', (message: HostControl) => {
      if (message.type === 'connect') this.#connect(message);
      else this.#end();
    });
  }

  #connect({ connection: id, port, wakeFd }: HostControl & { type: 'connect' }): void {
    const wake = EventFd.fromFd(asFd(wakeFd));
    const connection: Connection = { id, port, wake, requests: [], inTurn: false, open: true };
    this.#connections.add(connection);
    port.on('message', (message: HostRequest) => {
      if (message.type === 'request') this.#take(connection, message.request);
      else this.#drop(connection);
    });
    // A worker that ends in another way closes its ports, too.
    port.on('close', () => this.#drop(connection));
    post(connection, { type: 'ready' });
  }

  #take(connection: Connection, request: unknown): void {
    connection.requests.push(request);
    if (connection.inTurn) return;
    connection.inTurn = true;
    this.#turns.push(connection);
    if (!this.#serving) void this.#serve();
  }

  #drop(connection: Connection): void {
    if (!connection.open) return;
    connection.open = false;
    connection.port.close();
    connection.requests.length = 0;
    this.#connections.delete(connection);
    const event: HostEvent = { type: 'closed', connection: connection.id };
    this.#control.postMessage(event);
  }

  async #serve(): Promise<void> {
    this.#serving = true;
    // Immediates follow each other with a look at all ports in between; a message's event does not.
    await setImmediate();
    while (!this.#ending) {
      const connection = this.#turns.shift();
      if (connection === undefined) break;
      if (connection.requests.length > 0) {
        const message = await this.#answer(connection.requests[0]);
        if (connection.open) {
          connection.requests.shift();
          post(connection, message);
        }
        // Those who asked or went while the host was busy: they come before this one's next.
        await setImmediate();
      }
      connection.inTurn = connection.requests.length > 0;
      if (connection.inTurn) this.#turns.push(connection);
    }
    this.#serving = false;
    if (this.#ending) this.#settle();
  }

  async #answer(request: unknown): Promise<HostMessage> {
    Atomics.store(this.#pulse, HOST_PULSE.BUSY, 1);
    try {
      return { type: 'answer', answer: await this.#host.answer(request) };
    } catch (error) {
      return { type: 'refusal', error: hostErrorRecord(error) };
    } finally {
      Atomics.store(this.#pulse, HOST_PULSE.BUSY, 0);
    }
  }

  #end(): void {
    this.#ending = true;
    if (!this.#serving) this.#settle();
  }
}

function post({ port, wake }: Connection, message: HostMessage): void {
  try {
    port.postMessage(message);
  } catch (error) {
    // An answer that cannot be cloned is the host's fault, which the one who asked hears of.
    port.postMessage({ type: 'refusal', error: hostErrorRecord(error) } satisfies HostMessage);
  }
  wake.signal();
}
