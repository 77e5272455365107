import type { AccessSeat, SeatedHandler } from '@node-vmm/ioreq-eventfd';
import {
  type MmioTransportState,
  type QueueConfig,
  TRANSPORT_COUNTERS,
  type TransportCounters,
  transportState,
  type VirtioDevice,
} from '@node-vmm/virtio-device';
import {
  carryOut,
  type Held,
  type IrqCarrier,
  type IrqLine,
  type IrqTrigger,
  VmError,
} from '@node-vmm/vm-device';
import { type EventFd, errorMessage, type Logger, silentLogger } from '@node-vmm/vmm-sys-util';
import { DeviceMemory } from './device-memory.ts';
import { deviceShape } from './device-shape.ts';
import type { DeviceCall, DeviceData, DeviceNews, ToMain } from './protocol.ts';
import type { SeatedDevice } from './seated-device.ts';
import { countersOf } from './shared-counters.ts';
import { ThreadSeat } from './thread-seat.ts';
import { ToldSession } from './told-session.ts';

/** Where a device's registers are, and what it is like. */
export interface DispatchedDeviceOptions {
  /** A line of the machine. */
  readonly irq: IrqLine;
  /** As in `LineInterrupt`. */
  readonly trigger?: IrqTrigger | undefined;
  /** Bytes of configuration space, default 0. */
  readonly configSize?: number;
  /** Registers of another transport, to go on from: see `VirtioMmioTransport.restore`. */
  readonly state?: MmioTransportState | undefined;
  /**
   * Called once where there is a `state`, when the registers go on from it, or do not: then they are those of a
   * fresh device, and this says why.
   */
  readonly onRestored?: (problem: string | undefined) => void;
  readonly logger?: Logger;
}

/**
 * A virtio-mmio device whose registers a dispatch thread serves, and whose work is done on the main thread:
 * what `VirtioMmioTransport` is where both are one thread. `vm.map(window, dispatched)` puts it into a guest
 * of a machine that a `DispatchThread` hosts.
 *
 * The driver's reads, kicks and interrupts go on while the main thread is busy; resets, queue stops and
 * writes to configuration space wait for it. Features that the device refuses (`acceptFeatures`) although it
 * offered them set DEVICE_NEEDS_RESET. Registers outlive their thread: where another takes the guest, the driver
 * notices nothing.
 */
export class DispatchedDevice implements SeatedHandler, SeatedDevice {
  readonly #device: VirtioDevice;
  readonly #options: DispatchedDeviceOptions;
  readonly #logger: Logger;
  readonly #memory: DeviceMemory;
  readonly #config: Uint8Array;
  readonly counters: Readonly<TransportCounters>;
  readonly #asked: ((state: MmioTransportState | undefined) => void)[] = [];
  #seat: ThreadSeat | undefined;
  #window = 0;
  #carrier: IrqCarrier = 'message';
  /** A thread has had the registers. */
  #began = false;
  readonly #session = new ToldSession();

  constructor(device: VirtioDevice, options: DispatchedDeviceOptions) {
    this.#device = device;
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const { configSize = 0 } = options;
    this.#config = new Uint8Array(configSize);
    const { queueMaxSizes } = device;
    this.#memory = new DeviceMemory(deviceShape({ queueMaxSizes, configSize }));
    this.counters = countersOf(TRANSPORT_COUNTERS, this.#memory.counters);
    this.#publish();
  }

  /** @throws {VmError} NOT_SUPPORTED where the seat is no dispatch thread's, or the device has one */
  takeSeat(seat: AccessSeat, window: number): void {
    if (!(seat instanceof ThreadSeat) || this.#seat !== undefined) {
      const why =
        this.#seat === undefined ? 'it is not on a dispatch thread' : 'it has one already';
      throw new VmError('NOT_SUPPORTED', `Cannot give a device this window: ${why}`);
    }
    this.#seat = seat;
    this.#window = window;
    const { irq, trigger } = this.#options;
    const line = { kind: 'line', irq } as const;
    this.#carrier = seat.carrierOf(trigger === undefined ? line : { ...line, trigger });
    this.#began = seat.live;
    seat.serve(window, this);
  }

  get shared(): SharedArrayBuffer {
    return this.#memory.buffer;
  }

  get data(): Omit<DeviceData, 'resumed'> {
    const { deviceId, vendorId, features, queueMaxSizes } = this.#device;
    const { irq, state, configSize = 0 } = this.#options;
    const carrier = this.#carrier;
    return { deviceId, vendorId, features, queueMaxSizes, configSize, irq, carrier, state };
  }

  /** On the thread where its guest's accesses arrive no more: there is no device. */
  read(): bigint {
    return 0n;
  }

  write(): undefined {
    return undefined;
  }

  /** Device status bits as the driver reads them. */
  get status(): number {
    return this.#memory.status;
  }

  /** As `VirtioMmioTransport.queueInterrupt`. */
  queueInterrupt(): void {
    this.#tell('queueInterrupt');
  }

  /** The device has changed its configuration space: the driver reads the new one from now on, and is told. */
  configChanged(): void {
    this.#publish();
    this.#tell('configChanged');
  }

  /** What the driver wrote to configuration space has come about: it reads that from now on, and is not told. */
  configWritten(): void {
    this.#publish();
  }

  /** As `VirtioMmioTransport.needsReset`. */
  needsReset(): void {
    this.#tell('needsReset');
  }

  /** As `VirtioMmioTransport.setVringInterruptsAssisted`. */
  setVringInterruptsAssisted(on: boolean): void {
    this.#tell(on ? 'vringAssisted' : 'vringNotAssisted');
  }

  /** Whenever the eventfd is signalled, the device has used buffers: the thread sees to it. @returns undoes it */
  irqfd(eventfd: EventFd): () => void {
    return this.#seat?.irqfd(this.#window, eventfd) ?? (() => undefined);
  }

  /** A copy of all registers, those included of a thread that is gone; undefined where it never had any. */
  state(): Promise<MmioTransportState | undefined> {
    if (this.#seat === undefined) return Promise.resolve(this.#left());
    return new Promise((resolve) => {
      this.#asked.push(resolve);
      this.#seat?.expect({ type: 'tell', window: this.#window, what: 'state' });
    });
  }

  #left(): MmioTransportState | undefined {
    const { registers, generation } = this.#memory;
    return this.#began ? transportState(registers, generation) : undefined;
  }

  #tell(what: DeviceNews): void {
    this.#seat?.post({ type: 'tell', window: this.#window, what });
  }

  #publish(): void {
    if (this.#config.length === 0) return;
    if (this.#device.readConfig(0, this.#config)) this.#memory.publish(this.#config);
  }

  restored(problem: string | undefined): void {
    if (problem !== undefined) this.#logger.warn({ problem }, 'registers of a device not restored');
    this.#options.onRestored?.(problem);
  }

  said({ state }: Extract<ToMain, { type: 'state' }>): void {
    this.#asked.shift()?.(state);
  }

  moved(): void {
    // Whether this thread was told of them nobody knows.
    for (const queue of this.#memory.takeNotified()) this.#notify(queue);
  }

  gone(): void {
    this.#seat = undefined;
    for (const resolve of this.#asked.splice(0)) resolve(this.#left());
  }

  /** Does what the driver wants. */
  call(call: DeviceCall): void {
    const device = this.#device;
    switch (call.call) {
      case 'acceptFeatures':
        if (!this.#session.accept(call.features)) break;
        this.#orBreak(call.call, () => {
          if (!device.acceptFeatures(call.features)) this.needsReset();
        });
        break;
      case 'activate':
        this.#activate(call.features, call.queues);
        break;
      case 'startQueue':
        this.#startQueue(call.features, call.queue);
        break;
      case 'notifyQueue':
        this.#memory.clearNotified(call.queue);
        this.#notify(call.queue);
        break;
      case 'stopQueue': {
        const stop = (): Held | undefined => {
          this.#session.stop(call.queue);
          return device.stopQueue(call.queue);
        };
        this.#hold(call.id, call.call, `${call.queue}`, stop, true);
        break;
      }
      case 'writeConfig': {
        const { offset, bytes } = call;
        const write = (): Held | undefined => device.writeConfig(offset, bytes);
        this.#hold(call.id, call.call, `${offset} ${bytes.join()}`, write, false);
        break;
      }
      case 'reset': {
        const reset = (): Held | undefined => {
          this.#session.reset();
          return device.reset();
        };
        this.#hold(call.id, call.call, '', reset, false);
        break;
      }
    }
  }

  /** A thread in place of another says so of a device that is active, and of queues of which only that one knew. */
  #activate(features: bigint, queues: readonly QueueConfig[]): void {
    if (this.#session.activate(queues.map(({ index }) => index))) {
      this.#orBreak('activate', () => this.#device.activate(features, queues));
      return;
    }
    for (const queue of queues) this.#startQueue(features, queue);
  }

  #startQueue(features: bigint, queue: QueueConfig): void {
    if (!this.#session.start(queue.index)) return;
    this.#orBreak('startQueue', () => this.#device.startQueue(features, queue));
  }

  #notify(queue: number): void {
    this.#attempt('notifyQueue', () => this.#device.notifyQueue(queue));
  }

  #orBreak(name: string, action: () => void): void {
    if (!this.#attempt(name, action)) this.needsReset();
  }

  #attempt(name: string, action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.#failed(name, error);
      return false;
    }
  }

  /** @param what - of the call, the same where a thread asks again for what another had asked for */
  #hold(
    id: number,
    name: string,
    what: string,
    action: () => Held | undefined,
    breaks: boolean,
  ): void {
    this.#seat?.ask(id, `${name} ${this.#window} ${what}`, (answer) => {
      const done = (): void => {
        this.#publish();
        answer(0n);
      };
      const failed = (error: unknown): void => {
        this.#failed(name, error);
        if (breaks) this.needsReset();
        done();
      };
      carryOut(action, done, failed);
    });
  }

  #failed(call: string, error: unknown): void {
    this.#logger.warn({ call, error: errorMessage(error) }, 'a device failed');
  }
}
