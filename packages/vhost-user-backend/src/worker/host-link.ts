import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { EventFd, type Poller, type Watch, watchControlPort } from '@node-vmm/vmm-sys-util';
import { type HostMessage, type HostRequest, hostErrorOf } from '../between/host-protocol.ts';
import type { HostAnswer, HostThread } from '../host-thread.ts';

/** What a connection needs of the vring worker that it is in. */
export interface HostLinkEnvironment {
  /** Watches on this thread. */
  readonly poller: Poller;
  /** Hands the other end to the main thread, and the eventfd for good. */
  connect(port: MessagePort, wakeFd: number): void;
  /** The host thread has its host and answers. */
  ready(): void;
  closed(): void;
  /** Node's event loop must turn until this is settled: a port is not closed before. */
  turn(until: Promise<unknown>): void;
}

/** The vring worker's end of a connection between a device and a host thread. */
export class HostLink implements HostThread {
  readonly #environment: HostLinkEnvironment;
  readonly #port: MessagePort;
  readonly #watch: Watch;
  readonly #waiting: HostAnswer[] = [];
  #live = true;

  /**
   * @throws {SysError} when there are no descriptors left
   * @throws {VhostUserBackendError} INVALID_DEVICE: what `connect` throws
   */
  constructor(environment: HostLinkEnvironment) {
    this.#environment = environment;
    const wake = EventFd.create();
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    let watch: Watch | undefined;
    try {
      watch = watchControlPort(environment.poller, port1, wake, (message) =>
        this.#onMessage(message as HostMessage),
      );
      environment.connect(port2, wake.fd);
    } catch (error) {
      watch?.close();
      wake.close();
      throw error;
    }
    this.#watch = watch;
  }

  request(request: unknown, answered: HostAnswer): void {
    if (!this.#live) throw new TypeError('Cannot ask a host thread: the connection is closed');
    const message: HostRequest = { type: 'request', request };
    this.#port.postMessage(message);
    this.#waiting.push(answered);
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#waiting.length = 0;
    // In this order: the main thread closes the eventfd when the other side has read this.
    this.#watch.close();
    const last: HostRequest = { type: 'close' };
    this.#port.postMessage(last);
    const closed = new Promise<void>((resolve) => {
      this.#port.once('close', resolve);
    });
    this.#port.close();
    this.#environment.turn(closed);
    this.#environment.closed();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #onMessage(message: HostMessage): void {
    // What comes before the port is really closed.
    if (!this.#live) return;
    if (message.type === 'ready') {
      this.#environment.ready();
      return;
    }
    const answered = this.#waiting.shift();
    if (message.type === 'answer') answered?.(undefined, message.answer);
    else answered?.(hostErrorOf(message.error));
  }
}
