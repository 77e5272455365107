import { featureWord, VIRTIO_F_RING_RESET, VIRTIO_F_VERSION_1 } from '@node-vmm/virtio-bindings';
import type { QueueConfig, VirtioDevice } from '../virtio-device.ts';

/** One call that a {@link FakeVirtioDevice} received. */
export interface DeviceCall {
  readonly name:
    | 'acceptFeatures'
    | 'activate'
    | 'startQueue'
    | 'stopQueue'
    | 'notifyQueue'
    | 'reset'
    | 'writeConfig';
  readonly features?: bigint;
  readonly queues?: readonly QueueConfig[];
  readonly index?: number;
  readonly bytes?: readonly number[];
}

/** How a {@link FakeVirtioDevice} is made; everything has a default. */
export interface FakeVirtioDeviceOptions {
  readonly features?: bigint;
  readonly queueMaxSizes?: readonly number[];
  /** Initial configuration space, default none. */
  readonly config?: Uint8Array;
  /** True to leave `stopQueue` and `reset` under way until `finish` is called. */
  readonly manual?: boolean;
}

/** Records calls; refuses features in `refused`; throws from calls named in `failing`. */
export class FakeVirtioDevice implements VirtioDevice {
  readonly deviceId = 34;
  readonly vendorId = 0x554d_4551;
  readonly features: bigint;
  readonly queueMaxSizes: readonly number[];
  readonly config: Uint8Array;
  readonly calls: DeviceCall[] = [];
  /** Feature bits that `acceptFeatures` refuses. */
  refused = 0n;
  /** Names of calls that throw. */
  readonly failing: Set<string> = new Set();
  readonly #manual: boolean;
  #pending: { readonly name: string; readonly end: () => void }[] = [];

  constructor(options: FakeVirtioDeviceOptions = {}) {
    this.features = options.features ?? featureWord(VIRTIO_F_VERSION_1, VIRTIO_F_RING_RESET);
    this.queueMaxSizes = options.queueMaxSizes ?? [64, 16];
    this.config = options.config ?? new Uint8Array(0);
    this.#manual = options.manual === true;
  }

  /** Names of the calls so far. */
  get names(): string[] {
    return this.calls.map((call) => call.name);
  }

  readConfig(offset: number, target: Uint8Array): boolean {
    if (offset + target.length > this.config.length) return false;
    target.set(this.config.subarray(offset, offset + target.length));
    return true;
  }

  writeConfig(offset: number, source: Uint8Array): undefined {
    this.#record({ name: 'writeConfig', index: offset, bytes: [...source] });
    if (offset + source.length <= this.config.length) this.config.set(source, offset);
  }

  acceptFeatures(features: bigint): boolean {
    this.#record({ name: 'acceptFeatures', features });
    return (features & this.refused) === 0n;
  }

  activate(features: bigint, queues: readonly QueueConfig[]): void {
    this.#record({ name: 'activate', features, queues });
  }

  startQueue(features: bigint, queue: QueueConfig): void {
    this.#record({ name: 'startQueue', features, queues: [queue] });
  }

  stopQueue(index: number): Promise<void> {
    this.#record({ name: 'stopQueue', index });
    return this.#settle('stopQueue');
  }

  notifyQueue(index: number): void {
    this.#record({ name: 'notifyQueue', index });
  }

  reset(): Promise<void> {
    this.#record({ name: 'reset' });
    return this.#settle('reset');
  }

  /** Ends what is under way, with `manual`; all of it, or calls of one name. */
  finish(name?: 'stopQueue' | 'reset'): void {
    const due = this.#pending.filter((call) => name === undefined || call.name === name);
    this.#pending = this.#pending.filter((call) => !due.includes(call));
    for (const { end } of due) end();
  }

  #settle(name: string): Promise<void> {
    if (!this.#manual) return Promise.resolve();
    return new Promise((end) => {
      this.#pending.push({ name, end });
    });
  }

  #record(call: DeviceCall): void {
    this.calls.push(call);
    if (this.failing.has(call.name)) throw new Error(`${call.name} fails as asked`);
  }
}
