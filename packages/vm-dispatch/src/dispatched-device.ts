import type { AccessSeat, SeatedHandler } from '@node-vmm/ioreq-eventfd';
import {
  type MmioTransportState,
  TRANSPORT_COUNTERS,
  type TransportCounters,
  type VirtioDevice,
} from '@node-vmm/virtio-device';
import { type Held, type IrqLine, type IrqTrigger, VmError, whenOver } from '@node-vmm/vm-device';
import { type EventFd, errorMessage, type Logger, silentLogger } from '@node-vmm/vmm-sys-util';
import { DeviceMemory } from './device-memory.ts';
import { deviceShape } from './device-shape.ts';
import type { DeviceCall, DeviceNews, ToMain } from './protocol.ts';
import { countersOf } from './shared-counters.ts';
import { type DeviceEars, ThreadSeat } from './thread-seat.ts';

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
 * offered them set DEVICE_NEEDS_RESET.
 */
export class DispatchedDevice implements SeatedHandler, DeviceEars {
  readonly #device: VirtioDevice;
  readonly #options: DispatchedDeviceOptions;
  readonly #logger: Logger;
  readonly #memory: DeviceMemory;
  readonly #config: Uint8Array;
  readonly counters: Readonly<TransportCounters>;
  readonly #asked: ((state: MmioTransportState | undefined) => void)[] = [];
  #seat: ThreadSeat | undefined;
  #window = 0;

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
    const { deviceId, vendorId, features, queueMaxSizes } = this.#device;
    const { irq, trigger, state, configSize = 0 } = this.#options;
    const line = { kind: 'line', irq } as const;
    const carrier = seat.carrierOf(trigger === undefined ? line : { ...line, trigger });
    const data = { deviceId, vendorId, features, queueMaxSizes, configSize, irq, carrier, state };
    seat.listen(window, this, this.#memory.buffer);
    seat.post({ type: 'device', guest: seat.id, window, data });
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

  /** A copy of all registers; undefined when the thread is gone. */
  state(): Promise<MmioTransportState | undefined> {
    const seat = this.#seat;
    if (seat === undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#asked.push(resolve);
      this.#tell('state');
    });
  }

  #tell(what: DeviceNews): void {
    const seat = this.#seat;
    seat?.post({ type: 'tell', guest: seat.id, window: this.#window, what });
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

  gone(): void {
    this.#seat = undefined;
    for (const resolve of this.#asked.splice(0)) resolve(undefined);
  }

  /** Does what the driver wants. */
  call(call: DeviceCall): void {
    const device = this.#device;
    switch (call.call) {
      case 'acceptFeatures':
        this.#orBreak(call.call, () => {
          if (!device.acceptFeatures(call.features)) this.needsReset();
        });
        break;
      case 'activate':
        this.#orBreak(call.call, () => device.activate(call.features, call.queues));
        break;
      case 'startQueue':
        this.#orBreak(call.call, () => device.startQueue(call.features, call.queue));
        break;
      case 'notifyQueue':
        this.#memory.clearNotified(call.queue);
        this.#attempt(call.call, () => device.notifyQueue(call.queue));
        break;
      case 'stopQueue':
        this.#hold(call.id, call.call, () => device.stopQueue(call.queue), true);
        break;
      case 'writeConfig':
        this.#hold(call.id, call.call, () => device.writeConfig(call.offset, call.bytes), false);
        break;
      case 'reset':
        this.#hold(call.id, call.call, () => device.reset(), false);
        break;
    }
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

  #hold(id: number, name: string, action: () => Held | undefined, breaks: boolean): void {
    const done = (): void => {
      this.#publish();
      this.#seat?.done(id);
    };
    const failed = (error: unknown): void => {
      this.#failed(name, error);
      if (breaks) this.needsReset();
      done();
    };
    let held: Held | undefined;
    try {
      held = action();
    } catch (error) {
      failed(error);
      return;
    }
    if (held === undefined) done();
    else whenOver(held, done, failed);
  }

  #failed(call: string, error: unknown): void {
    this.#logger.warn({ call, error: errorMessage(error) }, 'a device failed');
  }
}
