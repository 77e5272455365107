import { type InflightFile, type KeptRing, RingPosition } from '@node-vmm/vhost-user-master';
import { type QueueConfig, VIRTIO_MMIO_QUEUE_NOTIFY } from '@node-vmm/virtio-device';
import type { Vm, Wiring } from '@node-vmm/vm-device';
import { guestAddress } from '@node-vmm/vm-memory';
import { EventFd, type SignalGuard } from '@node-vmm/vmm-sys-util';
import { UsedIndexWatch } from './used-index-watch.ts';

/** Where a device sits in its VM. */
export interface DevicePlace {
  readonly vm: Vm;
  /** Guest physical address of the virtio-mmio window. */
  readonly base: bigint;
}

/**
 * The two eventfds of a queue, wired to the guest: its notifications signal `kick`, and `call`
 * becomes its interrupt. The back-end holds the other ends; they outlive any one back-end, so that
 * what the guest signals while none is there is found by the next.
 */
export class QueueWiring {
  readonly config: QueueConfig;
  readonly kick: EventFd = EventFd.create();
  readonly call: EventFd = EventFd.create();
  readonly #vm: Vm;
  /** What another process knew of the ring, until it is handed over here. */
  #kept: KeptRing | undefined;
  #position: RingPosition | undefined;
  #watch: UsedIndexWatch | undefined;
  readonly #wirings: Wiring[] = [];

  /**
   * @param irqfd - makes signals the device's interrupts
   * @param guard - keeps a back-end from making this process wait
   * @param onStall - a back-end tried to
   * @param kept - what another process knew of the ring, which some back-end had there
   * @throws {VmError} when the VM refuses the wiring
   */
  constructor(
    place: DevicePlace,
    config: QueueConfig,
    irqfd: (call: EventFd) => Wiring,
    guard: SignalGuard,
    onStall: () => void,
    kept?: KeptRing,
  ) {
    this.config = config;
    this.#kept = kept;
    this.#vm = place.vm;
    this.kick.share(guard, onStall);
    this.call.share(guard, onStall);
    try {
      this.#wirings.push(
        place.vm.ioeventfd(
          {
            guestAddr: place.base + BigInt(VIRTIO_MMIO_QUEUE_NOTIFY),
            length: 4,
            datamatch: BigInt(config.index),
          },
          this.kick,
        ),
        irqfd(this.call),
      );
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** True when notifications and interrupts both pass without this process running. */
  get kernelAssisted(): boolean {
    return this.notificationsAssisted && this.interruptsAssisted;
  }

  /** True when notifications become signals without this process running. */
  get notificationsAssisted(): boolean {
    return this.#wirings[0]?.kernelAssisted === true;
  }

  /** True when interrupts reach the guest without passing through this process. */
  get interruptsAssisted(): boolean {
    return this.#wirings[1]?.kernelAssisted === true;
  }

  /** True while a back-end serves the ring. */
  get started(): boolean {
    return this.#watch !== undefined;
  }

  /** True once any back-end was given the ring: the next must go on where that one stopped. */
  get handedOver(): boolean {
    return this.#position !== undefined || this.#kept !== undefined;
  }

  /**
   * What another process needs to go on with the ring, undefined where no back-end ever had it.
   *
   * @param stoppedAt - what the back-end said when it stopped, where it did
   */
  keep(stoppedAt?: number): KeptRing | undefined {
    return this.#position === undefined ? this.#kept : this.#position.keep(stoppedAt);
  }

  /** The ring's indices as they are now, undefined before it was handed over and where nothing is there. */
  get indices(): RingPosition['indices'] | undefined {
    try {
      return this.#position?.indices;
    } catch {
      // A guest may have given the ring's pages back.
      return undefined;
    }
  }

  /**
   * To be called before a back-end is given the ring.
   *
   * @param features - negotiated: they say how the ring is laid out
   * @param inOrder - back-ends return requests in order: the next one goes on behind the last returned
   * @param record - what the next back-end records its requests in, if it does
   * @returns the base at which it begins
   * @throws {VmMemoryError} when the guest gave a ring outside its memory
   * @throws {VhostUserMasterError} IMPOSSIBLE_RING, UNKNOWN_ORDER
   */
  handOver(features: bigint, inOrder: boolean, record?: InflightFile): number {
    this.kick.restore();
    this.call.restore();
    if (this.#position !== undefined) return this.#position.resume(inOrder, record);
    const { index, size, availRing, usedRing } = this.config;
    const place = {
      index,
      size,
      availRing: guestAddress(availRing),
      usedRing: guestAddress(usedRing),
      features,
    };
    const kept = this.#kept;
    this.#position = new RingPosition(this.#vm.memory, place, record, kept);
    this.#kept = undefined;
    return kept === undefined ? this.#position.base : this.#position.resume(inOrder, record);
  }

  /**
   * A back-end serves the ring from now on.
   *
   * @param onImpossible - it goes on where no back-end can
   */
  serve(onImpossible: () => void): void {
    this.stopServing();
    if (this.#position !== undefined) {
      this.#watch = new UsedIndexWatch(this.#position, onImpossible);
    }
  }

  /** No back-end serves the ring any more. */
  stopServing(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  close(): void {
    this.stopServing();
    for (const wiring of this.#wirings.splice(0)) wiring.close();
    this.kick.close();
    this.call.close();
  }
}
