import type { QueueConfig, VirtioDevice } from '@node-vmm/virtio-device';
import type { Completion } from '@node-vmm/vm-device';
import type { DeviceMemory } from '../device-memory.ts';
import type { DeviceCall, DeviceData } from '../protocol.ts';

/**
 * Stands for a device of the main thread. What reads need is here; what changes something is posted, and a
 * driver that must wait for it is held. What a guest can have under way is bounded by that: one of each
 * for a session, one stop for a queue, one notification for a queue.
 */
export class RemoteVirtioDevice implements VirtioDevice {
  readonly deviceId: number;
  readonly vendorId: number;
  readonly features: bigint;
  readonly queueMaxSizes: readonly number[];
  readonly #memory: DeviceMemory;
  readonly #post: (call: DeviceCall) => void;
  readonly #hold: () => { readonly id: number; readonly held: Completion };

  /** @param hold - a number for what the main thread answers */
  constructor(
    data: DeviceData,
    memory: DeviceMemory,
    post: (call: DeviceCall) => void,
    hold: () => { readonly id: number; readonly held: Completion },
  ) {
    this.deviceId = data.deviceId;
    this.vendorId = data.vendorId;
    this.features = data.features;
    this.queueMaxSizes = data.queueMaxSizes;
    this.#memory = memory;
    this.#post = post;
    this.#hold = hold;
  }

  readConfig(offset: number, target: Uint8Array): boolean {
    return this.#memory.readConfig(offset, target);
  }

  writeConfig(offset: number, source: Uint8Array): Completion {
    const bytes = source.slice();
    return this.#ask((id) => ({ call: 'writeConfig', id, offset, bytes }));
  }

  /** A subset of what is offered is taken; one that the device refuses all the same breaks it. */
  acceptFeatures(features: bigint): boolean {
    this.#post({ call: 'acceptFeatures', features });
    return true;
  }

  activate(features: bigint, queues: readonly QueueConfig[]): void {
    this.#post({ call: 'activate', features, queues });
  }

  startQueue(features: bigint, queue: QueueConfig): void {
    this.#post({ call: 'startQueue', features, queue });
  }

  stopQueue(queue: number): Completion {
    return this.#ask((id) => ({ call: 'stopQueue', id, queue }));
  }

  notifyQueue(queue: number): void {
    if (this.#memory.setNotified(queue)) this.#post({ call: 'notifyQueue', queue });
  }

  reset(): Completion {
    return this.#ask((id) => ({ call: 'reset', id }));
  }

  #ask(call: (id: number) => DeviceCall): Completion {
    const { id, held } = this.#hold();
    this.#post(call(id));
    return held;
  }
}
