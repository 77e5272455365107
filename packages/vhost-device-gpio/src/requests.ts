import type { DescriptorChain, DeviceQueue } from '@node-vmm/vhost-user-backend';
import {
  VIRTIO_GPIO_MSG_GET_LINE_NAMES,
  VIRTIO_GPIO_REQUEST,
  VIRTIO_GPIO_RESPONSE,
  VIRTIO_GPIO_STATUS_ERR,
  VIRTIO_GPIO_STATUS_OK,
} from '@node-vmm/virtio-bindings/gpio';
import type { GpioCounters } from './counters.ts';

/** A request is over. @param value - undefined when it failed */
export type RequestDone = (value: number | undefined) => void;

/** Does what a request asks for, in the order of the queue, one at a time. */
export interface RequestHandler {
  /**
   * @param type - VIRTIO_GPIO_MSG_*, but not that which asks for names
   * @param done - called once, within this call or later
   */
  handle(type: number, gpio: number, value: number, done: RequestDone): void;
}

interface Waiting {
  readonly queue: DeviceQueue;
  readonly chain: DescriptorChain;
}

/**
 * The requestq: VIRTIO 1.3 §5.18.6. Requests are done and answered in the order in which they were made
 * available, whatever lines they are for; one that waits for the host holds up the others.
 */
export class Requests {
  readonly #handler: RequestHandler;
  readonly #counters: GpioCounters;
  /** Answer of VIRTIO_GPIO_MSG_GET_LINE_NAMES. */
  readonly #names: Uint8Array;
  /** As long, with VIRTIO_GPIO_STATUS_ERR. */
  readonly #noNames: Uint8Array;
  readonly #request = new Uint8Array(VIRTIO_GPIO_REQUEST.SIZE);
  readonly #view = new DataView(this.#request.buffer);
  readonly #response = new Uint8Array(VIRTIO_GPIO_RESPONSE.SIZE);
  #current: Waiting | undefined;
  #waiting: Waiting[] = [];
  /** Of those that wait. */
  #first = 0;
  /** Counts what was forgotten: an answer from before is none. */
  #life = 0;
  #idle: (() => void) | undefined;

  /** @param names - the gpio-names block, empty where no line has a name */
  constructor(handler: RequestHandler, counters: GpioCounters, names: Uint8Array) {
    this.#handler = handler;
    this.#counters = counters;
    this.#names = new Uint8Array(1 + names.length);
    this.#names[0] = VIRTIO_GPIO_STATUS_OK;
    this.#names.set(names, 1);
    this.#noNames = new Uint8Array(this.#names.length);
    this.#noNames[0] = VIRTIO_GPIO_STATUS_ERR;
  }

  /** Takes a request. After the last of a batch comes `detach`. */
  push(queue: DeviceQueue, chain: DescriptorChain): void {
    if (this.#current === undefined) this.#begin({ queue, chain });
    else this.#waiting.push({ queue, chain: chain.detach() });
  }

  /** The batch is over: what the host still has to do outlives it. */
  detach(): void {
    if (this.#current === undefined) return;
    const { queue, chain } = this.#current;
    this.#current = { queue, chain: chain.detach() };
  }

  /** Calls when all requests have been answered, which may be at once. */
  whenIdle(done: () => void): void {
    if (this.#current === undefined) done();
    else this.#idle = done;
  }

  /** The queue has stopped or the device was reset: nothing is answered any more. */
  forget(): void {
    const idle = this.#idle;
    this.#idle = undefined;
    this.#current = undefined;
    this.#waiting = [];
    this.#first = 0;
    this.#life++;
    // What the host still does touches no chain.
    idle?.();
  }

  #begin(request: Waiting): void {
    const { chain } = request;
    this.#current = request;
    if (chain.readableLength !== this.#request.length) {
      chain.read(this.#request.fill(0), 0);
      this.#refuse(true);
      return;
    }
    chain.read(this.#request, 0);
    const type = VIRTIO_GPIO_REQUEST.get(this.#view, 0, 'type');
    if (chain.writableLength !== this.#sizeOf(type)) {
      this.#refuse(true);
      return;
    }
    if (type === VIRTIO_GPIO_MSG_GET_LINE_NAMES) {
      if (this.#names.length === 1) this.#refuse(false);
      else this.#complete(this.#names);
      return;
    }
    const life = this.#life;
    const gpio = VIRTIO_GPIO_REQUEST.get(this.#view, 0, 'gpio');
    const value = VIRTIO_GPIO_REQUEST.get(this.#view, 0, 'value');
    let within = true;
    this.#handler.handle(type, gpio, value, (answer) => {
      if (life !== this.#life) return;
      if (answer === undefined) this.#refuse(false);
      else this.#succeed(answer);
      if (!within) this.#goOn(request.queue);
    });
    within = false;
  }

  /** The request before took its time: what waits is begun, as far as the host answers at once. */
  #goOn(queue: DeviceQueue): void {
    while (this.#current === undefined) {
      const next = this.#waiting[this.#first++];
      if (next === undefined) break;
      this.#begin(next);
    }
    if (this.#first >= this.#waiting.length) {
      this.#waiting = [];
      this.#first = 0;
    }
    queue.flush();
    if (this.#current !== undefined) return;
    const idle = this.#idle;
    this.#idle = undefined;
    idle?.();
  }

  #sizeOf(type: number): number {
    return type === VIRTIO_GPIO_MSG_GET_LINE_NAMES ? this.#names.length : this.#response.length;
  }

  #succeed(value: number): void {
    this.#response[0] = VIRTIO_GPIO_STATUS_OK;
    this.#response[1] = value;
    this.#complete(this.#response);
  }

  /** ERR and zeros, as long as the response to such a request is, or as there is room. */
  #refuse(malformed: boolean): void {
    this.#counters.errors++;
    if (malformed) this.#counters.malformed++;
    const type = VIRTIO_GPIO_REQUEST.get(this.#view, 0, 'type');
    if (type === VIRTIO_GPIO_MSG_GET_LINE_NAMES) {
      this.#complete(this.#noNames);
      return;
    }
    this.#response[0] = VIRTIO_GPIO_STATUS_ERR;
    this.#response[1] = 0;
    this.#complete(this.#response);
  }

  #complete(answer: Uint8Array): void {
    const request = this.#current;
    if (request === undefined) return;
    this.#current = undefined;
    this.#counters.requests++;
    request.queue.complete(request.chain, request.chain.write(answer, 0));
  }
}
