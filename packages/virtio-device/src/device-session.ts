import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FAILED,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET,
} from '@node-vmm/virtio-bindings';
import { Completion, carryOut } from '@node-vmm/vm-device';
import { errorMessage } from '@node-vmm/vmm-sys-util';
import type { FaultLog } from './faults.ts';
import { FeatureNegotiation } from './features.ts';
import { QueueRegisters, type QueueRegistersState } from './queue-registers.ts';
import type { RegisterMemory, TransportWords } from './register-memory.ts';
import type { QueueConfig, VirtioDevice } from './virtio-device.ts';

const DRIVER_BITS =
  VIRTIO_CONFIG_S_ACKNOWLEDGE |
  VIRTIO_CONFIG_S_DRIVER |
  VIRTIO_CONFIG_S_DRIVER_OK |
  VIRTIO_CONFIG_S_FEATURES_OK |
  VIRTIO_CONFIG_S_FAILED;

/**
 * The device's life between resets (VIRTIO 1.3 §2.1, §2.6.1, §3.1): status bits, features, queues,
 * and the calls of the `VirtioDevice` that follow from them. Knows nothing of registers.
 */
export class DeviceSession {
  readonly features: FeatureNegotiation;
  readonly queues: readonly QueueRegisters[];
  readonly #device: VirtioDevice;
  readonly #faults: FaultLog;
  readonly #onReset: () => void;
  readonly #onBroken: () => void;
  readonly #words: TransportWords;
  #resetCompletion: Completion | undefined;
  // A stop that ends after a reset began must not change the queue of the next session.
  #epoch = 0;

  /**
   * @param memory - where it is kept
   * @param onReset - the reset is complete
   * @param onBroken - the device failed: DEVICE_NEEDS_RESET is to be set
   */
  constructor(
    device: VirtioDevice,
    memory: RegisterMemory,
    faults: FaultLog,
    hooks: {
      readonly onReset: () => void;
      readonly onBroken: () => void;
    },
  ) {
    this.#device = device;
    this.#faults = faults;
    this.#onReset = hooks.onReset;
    this.#onBroken = hooks.onBroken;
    this.#words = memory.transport;
    this.features = new FeatureNegotiation(() => device.features, memory.transport);
    this.queues = memory.queues.map(
      (words, index) => new QueueRegisters(index, device.queueMaxSizes[index] ?? 0, words),
    );
  }

  get #status(): number {
    return this.#words.status;
  }

  set #status(status: number) {
    this.#words.status = status;
  }

  // What the device has been told since its last reset, so that resets are balanced.
  get #touched(): boolean {
    return this.#words.touched !== 0;
  }

  set #touched(touched: boolean) {
    this.#words.touched = touched ? 1 : 0;
  }

  get #resetting(): Completion | undefined {
    return this.#resetCompletion;
  }

  set #resetting(resetting: Completion | undefined) {
    this.#resetCompletion = resetting;
    this.#words.resetting = resetting === undefined ? 0 : 1;
  }

  get status(): number {
    return this.#status;
  }

  get resetting(): boolean {
    return this.#resetting !== undefined;
  }

  get featuresOk(): boolean {
    return (this.#status & VIRTIO_CONFIG_S_FEATURES_OK) !== 0;
  }

  /** True from DRIVER_OK until a reset begins: the device may use queues and notify. */
  get driverOk(): boolean {
    return (this.#status & VIRTIO_CONFIG_S_DRIVER_OK) !== 0 && !this.resetting;
  }

  /** §2.1.2 DEVICE_NEEDS_RESET. @returns true when the driver must be notified of it */
  setNeedsReset(): boolean {
    if (this.resetting || (this.#status & VIRTIO_CONFIG_S_NEEDS_RESET) !== 0) return false;
    this.#status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    return this.driverOk;
  }

  /** The device heard of this session, so the next reset must reach it. */
  touch(): void {
    this.#touched = true;
  }

  /** A non-zero write to Status. Bits are taken in the order of §3.1.1; refused ones stay clear. */
  setStatus(value: number): void {
    const wanted = value & DRIVER_BITS;
    if ((value & ~(DRIVER_BITS | VIRTIO_CONFIG_S_NEEDS_RESET)) !== 0) {
      this.#faults.report('badStatus', 'undefined bits', { value });
    }
    if ((this.#status & DRIVER_BITS & ~wanted) !== 0) {
      this.#faults.report('badStatus', 'bit cleared', { status: this.#status, value });
      return;
    }
    const added = wanted & ~this.#status;
    this.#status |= added & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    if ((added & VIRTIO_CONFIG_S_FEATURES_OK) !== 0) this.#setFeaturesOk();
    if ((added & VIRTIO_CONFIG_S_DRIVER_OK) !== 0) this.#setDriverOk();
    this.#status |= added & VIRTIO_CONFIG_S_FAILED;
  }

  /**
   * Goes on for another session of the same device, of which the features are restored already: tells the
   * device what that told it. To be called on a fresh one.
   *
   * @returns what is wrong, and then nothing has changed; else undefined
   */
  restore(status: number, queues: readonly QueueRegistersState[]): string | undefined {
    const features = this.features.driver;
    if (queues.length !== this.queues.length) {
      return `${queues.length} queues, the device has ${this.queues.length}`;
    }
    for (const [index, queue] of this.queues.entries()) {
      const state = queues[index];
      if (state === undefined) continue;
      queue.restore(state);
      const config = queue.ready ? queue.config(features) : undefined;
      if (typeof config !== 'string') continue;
      for (const restored of this.queues) restored.reset();
      return `queue ${index}: ${config}`;
    }
    this.#status = status & (DRIVER_BITS | VIRTIO_CONFIG_S_NEEDS_RESET);
    this.#touched = this.#status !== 0;
    const over = VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET;
    if (this.driverOk && (this.#status & over) === 0) this.#activate();
    return undefined;
  }

  /**
   * Goes on with registers that another session of the same device left as they are, in whatever moment: the
   * device hears again of what it may not have heard, and what it was to end it ends.
   */
  resume(): void {
    if (this.#words.resetting !== 0) {
      this.reset();
      return;
    }
    const stopping = this.queues.filter(({ stops }) => stops);
    const over = VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET;
    if (this.driverOk && (this.#status & over) === 0) this.#activate();
    for (const queue of stopping) this.disableQueue(queue, false);
  }

  #setFeaturesOk(): void {
    if ((this.#status & VIRTIO_CONFIG_S_FAILED) !== 0) {
      this.#faults.report('badStatus', 'FEATURES_OK after FAILED');
      return;
    }
    const driver = this.features.driver;
    const problem = this.features.problem() ?? this.#askDevice(driver);
    if (problem === undefined) this.#status |= VIRTIO_CONFIG_S_FEATURES_OK;
    else this.#faults.report('badFeatures', problem, { features: `0x${driver.toString(16)}` });
  }

  #askDevice(features: bigint): string | undefined {
    this.#touched = true;
    const accepted = this.#attempt('acceptFeatures', () => this.#device.acceptFeatures(features));
    return accepted === true ? undefined : 'the device refuses the features';
  }

  #setDriverOk(): void {
    const blocked = VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET;
    if (!this.featuresOk || (this.#status & blocked) !== 0) {
      this.#faults.report('badStatus', 'DRIVER_OK too early', { status: this.#status });
      return;
    }
    this.#status |= VIRTIO_CONFIG_S_DRIVER_OK;
    this.#activate();
  }

  #activate(): void {
    const features = this.features.driver;
    const configs = this.queues
      .filter((queue) => queue.ready && !queue.stops)
      .map((queue) => queue.config(features))
      .filter((config): config is QueueConfig => typeof config !== 'string');
    this.#attemptOrBreak('activate', () => this.#device.activate(features, configs));
  }

  /** QueueReady = 1. */
  enableQueue(queue: QueueRegisters): void {
    if (queue.ready) return;
    if (!this.featuresOk) {
      this.#faults.report('badQueue', 'ready before FEATURES_OK', { queue: queue.index });
      return;
    }
    const config = queue.config(this.features.driver);
    if (typeof config === 'string') {
      this.#faults.report('badQueue', 'ready refused', { queue: queue.index, problem: config });
      return;
    }
    queue.ready = true;
    if (!this.driverOk) return;
    this.#attemptOrBreak('startQueue', () => this.#device.startQueue(this.features.driver, config));
  }

  /**
   * QueueReady = 0, or QueueReset = 1 with `reset`: over when the device no longer touches the queue.
   * The registers keep what the driver wrote, unless reset.
   */
  disableQueue(queue: QueueRegisters, reset: boolean): Completion | undefined {
    if (reset) queue.resetting = true;
    if (queue.stopping !== undefined) return queue.stopping;
    if (!queue.ready || !this.driverOk) {
      this.#queueStopped(queue);
      return undefined;
    }
    const epoch = this.#epoch;
    const stopping = new Completion();
    queue.stopping = stopping;
    const done = (): void => {
      if (this.#epoch === epoch) this.#queueStopped(queue);
      stopping.complete();
    };
    const failed = (error: unknown): void => {
      this.#deviceFailed('stopQueue', error);
      if (this.#epoch === epoch) this.#onBroken();
      done();
    };
    carryOut(() => this.#device.stopQueue(queue.index), done, failed);
    return stopping.over ? undefined : stopping;
  }

  #queueStopped(queue: QueueRegisters): void {
    queue.stopping = undefined;
    if (queue.resetting) queue.reset();
    else queue.ready = false;
  }

  /**
   * Status = 0. The status reads as before until the reset is complete (§2.4.2); a reset during a
   * reset joins it.
   */
  reset(): Completion | undefined {
    if (this.#resetting !== undefined) return this.#resetting;
    this.#epoch++;
    if (!this.#touched) {
      this.#resetComplete();
      return undefined;
    }
    const resetting = new Completion();
    this.#resetting = resetting;
    const done = (): void => {
      this.#resetComplete();
      resetting.complete();
    };
    const failed = (error: unknown): void => {
      this.#deviceFailed('reset', error);
      done();
    };
    carryOut(() => this.#device.reset(), done, failed);
    return resetting.over ? undefined : resetting;
  }

  #resetComplete(): void {
    this.#resetting = undefined;
    this.#touched = false;
    this.#status = 0;
    this.features.reset();
    for (const queue of this.queues) queue.reset();
    this.#onReset();
  }

  notifyQueue(index: number): void {
    this.#attempt('notifyQueue', () => this.#device.notifyQueue(index));
  }

  #attempt<T>(call: string, action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      this.#deviceFailed(call, error);
      return undefined;
    }
  }

  #attemptOrBreak(call: string, action: () => void): void {
    this.#touched = true;
    const before = this.#faults.counters.deviceErrors;
    this.#attempt(call, action);
    if (this.#faults.counters.deviceErrors !== before) this.#onBroken();
  }

  #deviceFailed(call: string, error: unknown): void {
    this.#faults.report('deviceErrors', call, { error: errorMessage(error) });
  }
}
