import type { MessagePort } from 'node:worker_threads';
import {
  asFd,
  EventFd,
  EventLoop,
  rateLimited,
  threadId,
  watchControlPort,
} from '@node-vmm/vmm-sys-util';
import type { CreateDevice } from './device.ts';
import { errorRecord, importErrorRecord } from './error-record.ts';
import { VhostUserBackendError, type VhostUserBackendErrorCode } from './errors.ts';
import { HostedDevice } from './hosted-device.ts';
import { PortLogger } from './port-logger.ts';
import { WorkerPulse } from './pulse.ts';
import type { Vring } from './vring.ts';
import type { Params, WorkerData, WorkerMessage, WorkerRequest } from './worker-protocol.ts';

/**
 * A worker thread: blocks in `epoll_wait`, serves kicks, and answers the main thread's requests
 * between two batches, so that each of them finds the rings at rest.
 */
export class WorkerHost {
  readonly #port: MessagePort;
  readonly #loop: EventLoop;
  readonly #pulse: WorkerPulse;
  readonly #devices = new Map<number, HostedDevice>();
  /** Requests that need JavaScript's own event loop, which does not turn while ours does. */
  readonly #imports: WorkerRequest<'addDevice'>[] = [];
  /** Likewise: ports of host threads that are being closed. */
  readonly #turns: Promise<unknown>[] = [];
  #runnable: Vring[] = [];
  #served: Vring[] = [];

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
      this.#loop.turn(this.#runnable.length > 0 ? 0 : -1);
      this.#serve();
      for (let next = this.#imports.shift(); next !== undefined; next = this.#imports.shift()) {
        await this.#addDevice(next);
      }
      while (this.#turns.length > 0) await this.#turns.shift();
    }
    for (const device of this.#devices.values()) closeQuietly(device);
    this.#loop.close();
    this.#port.close();
  }

  #serve(): void {
    const turn = this.#runnable;
    if (turn.length === 0) return;
    this.#runnable = this.#served;
    this.#served = turn;
    for (const ring of turn) {
      ring.scheduled = false;
      if (ring.serve()) this.#schedule(ring);
    }
    turn.length = 0;
  }

  readonly #schedule = (ring: Vring): void => {
    if (ring.scheduled) return;
    ring.scheduled = true;
    this.#runnable.push(ring);
  };

  #onRequest(request: WorkerRequest): void {
    if (request.call === 'addDevice') {
      this.#imports.push(request as WorkerRequest<'addDevice'>);
      return;
    }
    try {
      this.#answer(request.id, this.#execute(request));
    } catch (error) {
      this.#refuse(request.id, error);
    }
  }

  async #addDevice({ id, params }: WorkerRequest<'addDevice'>): Promise<void> {
    try {
      const module = await this.#import(params.module);
      const device = this.#create(params, module.createDevice);
      device.whenReady((error) => {
        if (error === undefined) this.#answer(id, device.description);
        else this.#refuseDevice(id, params, error);
      });
    } catch (error) {
      const record = await importErrorRecord(error, makingCode(error), params.module);
      this.#post({ type: 'refusal', id, error: record });
    }
  }

  /** A host thread that it needs could not be started. */
  #refuseDevice(id: number, params: Params<'addDevice'>, error: unknown): void {
    const device = this.#device(params.device);
    this.#devices.delete(params.device);
    closeQuietly(device);
    const record = errorRecord(error, makingCode(error), params.module);
    this.#post({ type: 'refusal', id, error: record });
  }

  async #import(url: string): Promise<{ createDevice?: unknown }> {
    this.#pulse.loading(true);
    try {
      return (await import(url)) as { createDevice?: unknown };
    } finally {
      this.#pulse.loading(false);
    }
  }

  #create(params: Params<'addDevice'>, create: unknown): HostedDevice {
    const { device: id, name, module } = params;
    if (typeof create !== 'function') {
      throw new VhostUserBackendError(
        'INVALID_DEVICE',
        `Cannot serve device ${name}: ${module} exports no function createDevice`,
        { device: name },
      );
    }
    const hosted = new HostedDevice(create as CreateDevice<unknown>, params.options, {
      name,
      logger: rateLimited(new PortLogger(this.#port, { device: name })),
      loop: this.#loop,
      id,
      pulse: this.#pulse,
      schedule: this.#schedule,
      configChanged: () => this.#post({ type: 'configChanged', device: id }),
      connectHost: (request, transfer) =>
        this.#port.postMessage({ type: 'connectHost', device: id, ...request }, transfer),
      turn: (until) => this.#turns.push(until),
      notifyStalled: () => this.#post({ type: 'notifyStalled', device: id }),
      memoryReleased: (generation) =>
        this.#post({ type: 'memoryReleased', device: id, generation }),
      failed: (error) =>
        this.#post({
          type: 'deviceFailed',
          device: id,
          error: errorRecord(error, 'DEVICE_FAILED', module),
        }),
    });
    this.#devices.set(id, hosted);
    return hosted;
  }

  #execute(request: WorkerRequest): unknown {
    const device = this.#device(request.params.device);
    switch (request.call) {
      case 'removeDevice':
        this.#devices.delete(request.params.device);
        return device.close();
      case 'negotiated':
        return device.negotiated((request as WorkerRequest<'negotiated'>).params.features);
      case 'reset':
        return device.reset();
      case 'readConfig': {
        const { offset, length } = (request as WorkerRequest<'readConfig'>).params;
        return device.readConfig(offset, length);
      }
      case 'writeConfig': {
        const { offset, data } = (request as WorkerRequest<'writeConfig'>).params;
        return device.writeConfig(offset, data);
      }
      case 'setMemory': {
        const { generation, mappings, moves } = (request as WorkerRequest<'setMemory'>).params;
        return device.setMemory(generation, mappings, moves);
      }
      case 'startRing': {
        const { ring, config } = (request as WorkerRequest<'startRing'>).params;
        return device.startRing(ring, config);
      }
      case 'stopRing':
        return device.stopRing((request as WorkerRequest<'stopRing'>).params.ring);
      case 'enableRing': {
        const { ring, enabled } = (request as WorkerRequest<'enableRing'>).params;
        return device.enableRing(ring, enabled);
      }
      case 'setKick': {
        const { ring, fd } = (request as WorkerRequest<'setKick'>).params;
        return device.setKick(ring, fd);
      }
      case 'setCall': {
        const { ring, fd } = (request as WorkerRequest<'setCall'>).params;
        return device.setCall(ring, fd);
      }
      case 'setErr': {
        const { ring, fd } = (request as WorkerRequest<'setErr'>).params;
        return device.setErr(ring, fd);
      }
      case 'hostLost': {
        const { link, error } = (request as WorkerRequest<'hostLost'>).params;
        return device.hostLost(link, error);
      }
      case 'counters':
        return device.counters();
      default:
        throw new TypeError(`Cannot answer the main thread: no request "${request.call}"`);
    }
  }

  #device(id: number): HostedDevice {
    const device = this.#devices.get(id);
    if (device === undefined) {
      throw new VhostUserBackendError('CLOSED', `Cannot use device ${id}: it has been removed`);
    }
    return device;
  }

  #answer(id: number, result: unknown): void {
    this.#post({ type: 'answer', id, result });
  }

  #refuse(id: number, error: unknown): void {
    const code = VhostUserBackendError.is(error) ? error.code : 'INVALID_REQUEST';
    this.#post({ type: 'refusal', id, error: errorRecord(error, code) });
  }

  #post(message: WorkerMessage): void {
    this.#port.postMessage(message);
  }
}

function makingCode(error: unknown): VhostUserBackendErrorCode {
  return VhostUserBackendError.is(error) ? error.code : 'INVALID_DEVICE';
}

function closeQuietly(device: HostedDevice): void {
  try {
    device.close();
  } catch {
    // The thread is ending, and the main thread with whom one could talk about it may be gone.
  }
}
