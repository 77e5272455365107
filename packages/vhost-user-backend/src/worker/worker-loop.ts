import { setImmediate } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import {
  asFd,
  EventFd,
  EventLoop,
  rateLimited,
  threadId,
  watchControlPort,
} from '@node-vmm/vmm-sys-util';
import { shown } from '../between/invalid-field.ts';
import type {
  ErrorRecord,
  InstanceEvent,
  Params,
  WorkerData,
  WorkerMessage,
  WorkerRequest,
} from '../between/worker-calls.ts';
import type { CreateDevice } from '../device.ts';
import { VhostUserBackendError, type VhostUserBackendErrorCode } from '../errors.ts';
import type { Answer } from './answer.ts';
import { collectGarbage } from './collect-garbage.ts';
import { DeviceInstance } from './device-instance.ts';
import { errorRecord, importErrorRecord, saysEnough } from './error-record.ts';
import { callInstance } from './instance-calls.ts';
import { PortLogger } from './port-logger.ts';
import { outcomeOf, refusedPromise, rejectionError } from './returned-promise.ts';
import type { Vring } from './vring.ts';
import { WorkerPulse } from './worker-pulse.ts';
import { WorkerViews } from './worker-views.ts';

/**
 * A worker thread: blocks in `epoll_wait`, serves kicks, and answers the main thread's calls between
 * two batches, so that each of them finds the rings at rest.
 */
export class WorkerLoop {
  readonly #port: MessagePort;
  readonly #loop: EventLoop;
  readonly #pulse: WorkerPulse;
  readonly #views = new WorkerViews();
  /** By seat. */
  readonly #instances = new Map<number, DeviceInstance>();
  /** Calls that need JavaScript's own event loop, which does not turn while ours does. */
  readonly #imports: WorkerRequest<'make'>[] = [];
  /** Likewise: ports of host threads that are being closed. */
  readonly #turns: Promise<unknown>[] = [];
  /** Rings to be served: so many, the rest is room. Emptying an array would free what the next turn needs. */
  #runnable: (Vring | undefined)[] = [];
  #served: (Vring | undefined)[] = [];
  #runnableCount = 0;

  constructor(data: WorkerData) {
    this.#port = data.port;
    this.#pulse = new WorkerPulse(data.pulse, threadId());
    this.#pulse.loading(false);
    this.#loop = new EventLoop(EventFd.fromFd(asFd(data.stopFd)), asFd(data.epollFd));
    const wake = EventFd.fromFd(asFd(data.wakeFd));
    watchControlPort(this.#loop, data.port, wake, (message) =>
      this.#onRequest(message as WorkerRequest),
    );
  }

  /** Serves until the stop eventfd is signalled. What is thrown here ends the thread. */
  async run(): Promise<void> {
    while (!this.#loop.stopped) {
      this.#loop.turn(this.#runnableCount > 0 ? 0 : -1);
      this.#serve();
      for (let next = this.#imports.shift(); next !== undefined; next = this.#imports.shift()) {
        await this.#make(next);
      }
      while (this.#turns.length > 0) await this.#turns.shift();
    }
    for (const instance of this.#instances.values()) disposeQuietly(instance);
    this.#loop.close();
    this.#port.close();
  }

  #serve(): void {
    const count = this.#runnableCount;
    if (count === 0) return;
    const turn = this.#runnable;
    this.#runnable = this.#served;
    this.#served = turn;
    this.#runnableCount = 0;
    for (let i = 0; i < count; i++) {
      const ring = turn[i] as Vring;
      turn[i] = undefined;
      ring.scheduled = false;
      if (ring.serve()) this.#schedule(ring);
    }
  }

  readonly #schedule = (ring: Vring): void => {
    if (ring.scheduled) return;
    ring.scheduled = true;
    this.#runnable[this.#runnableCount++] = ring;
  };

  #onRequest(request: WorkerRequest): void {
    const { id, seat, call, params } = request;
    if (call === 'make') {
      this.#imports.push(request as WorkerRequest<'make'>);
      return;
    }
    const answer = this.#answerTo(id);
    if (call === 'ping') {
      answer.resolve(undefined);
      return;
    }
    if (call === 'viewed') {
      this.#turns.push(this.#whatIsViewed(params as Params<'viewed'>, answer));
      return;
    }
    try {
      const instance = this.#instance(seat);
      if (call === 'dispose') {
        this.#instances.delete(seat);
        answer.resolve(instance[Symbol.dispose]());
      } else callInstance(instance, call, params, answer);
    } catch (error) {
      const failing = this.#instances.get(seat)?.failing;
      if (failing === undefined) answer.reject(error);
      // Who hears that the device has failed finds why.
      else this.#turns.push(failing.then(() => answer.reject(error)));
    }
  }

  async #whatIsViewed(
    { memories, collect }: Params<'viewed'>,
    answer: Answer<number[]>,
  ): Promise<void> {
    // Whatever was looked at by a weak reference in this turn is kept until its end.
    await setImmediate();
    if (collect) collectGarbage();
    answer.resolve(this.#views.viewed(memories));
  }

  async #make(request: WorkerRequest<'make'>): Promise<void> {
    const { id, params } = request;
    const { name } = params;
    try {
      const module = await this.#import(params.module, request.seat);
      const made = this.#create(request, module.createDevice);
      made.whenReady((error) => {
        if (error === undefined) this.#answerTo(id).resolve(made.description);
        else this.#refuseInstance(request, error);
      });
    } catch (error) {
      const cause = await this.#whyNotMade(error);
      const record = await importErrorRecord(cause, makingCode(cause), params.module);
      this.#post({ type: 'refusal', id, error: saidOf(name, cause, record) });
    }
  }

  /** A promise in place of a device may say what went wrong behind it, or hold a device. */
  async #whyNotMade(error: unknown): Promise<unknown> {
    const promise = refusedPromise(error);
    if (promise === undefined) return error;
    const outcome = await outcomeOf(promise);
    if (outcome !== undefined && 'value' in outcome) disposeQuietly(outcome.value);
    return rejectionError(error, outcome);
  }

  /** A host thread that it needs could not be started. */
  #refuseInstance({ id, seat, params }: WorkerRequest<'make'>, error: unknown): void {
    const instance = this.#instance(seat);
    this.#instances.delete(seat);
    disposeQuietly(instance);
    const record = errorRecord(error, makingCode(error), params.module);
    this.#post({ type: 'refusal', id, error: saidOf(params.name, error, record) });
  }

  async #import(url: string, seat: number): Promise<{ createDevice?: unknown }> {
    this.#pulse.loading(true, seat);
    try {
      return (await import(url)) as { createDevice?: unknown };
    } finally {
      this.#pulse.loading(false);
    }
  }

  #create({ seat, params }: WorkerRequest<'make'>, create: unknown): DeviceInstance {
    const { name, module, options, instance, instances, shared, events, state } = params;
    if (typeof create !== 'function') {
      const text = `Cannot serve device ${name}: ${module} exports no function createDevice, got ${shown(create)}`;
      throw new VhostUserBackendError('INVALID_DEVICE', text, { device: name });
    }
    const say = (event: InstanceEvent): void => this.#post({ type: 'event', seat, event });
    const made = new DeviceInstance(create as CreateDevice<unknown>, options, {
      seat,
      name,
      instance,
      instances,
      shared,
      events,
      state,
      logger: rateLimited(new PortLogger(this.#port, { device: name })),
      loop: this.#loop,
      pulse: this.#pulse,
      views: this.#views,
      schedule: this.#schedule,
      connectHost: (request, transfer) =>
        this.#port.postMessage({ type: 'connectHost', seat, ...request }, transfer),
      turn: (until) => this.#turns.push(until),
      say,
      failed: (error) =>
        say({ type: 'failed', error: errorRecord(error, 'DEVICE_FAILED', module) }),
    });
    this.#instances.set(seat, made);
    return made;
  }

  #instance(seat: number): DeviceInstance {
    const instance = this.#instances.get(seat);
    if (instance === undefined) {
      throw new VhostUserBackendError('CLOSED', `Cannot use device ${seat}: it has been removed`);
    }
    return instance;
  }

  #answerTo(id: number): Answer<unknown> {
    return {
      resolve: (result) => this.#post({ type: 'answer', id, result }),
      reject: (error) => {
        const code = VhostUserBackendError.is(error) ? error.code : 'INVALID_REQUEST';
        this.#post({ type: 'refusal', id, error: errorRecord(error, code) });
      },
    };
  }

  #post(message: WorkerMessage): void {
    this.#port.postMessage(message);
  }
}

function makingCode(error: unknown): VhostUserBackendErrorCode {
  return VhostUserBackendError.is(error) ? error.code : 'INVALID_DEVICE';
}

/** What was thrown in the making of a device, by code that need not know the device's name. */
function saidOf(name: string, error: unknown, record: ErrorRecord): ErrorRecord {
  if (saysEnough(error)) return record;
  return { ...record, message: `Cannot make device ${name}: ${record.message}` };
}

function disposeQuietly(what: unknown): void {
  try {
    (what as Partial<Disposable> | undefined)?.[Symbol.dispose]?.();
  } catch {
    // The thread is ending, and the main thread with whom one could talk about it may be gone.
  }
}
