import type { IrqSource, Vm, Wiring } from '@node-vmm/ioreq-eventfd';
import { type QueueConfig, VIRTIO_MMIO_QUEUE_NOTIFY } from '@node-vmm/virtio-device';
import { guestAddress } from '@node-vmm/vm-memory';
import { EventFd } from '@node-vmm/vmm-sys-util';

/** `struct vring_used` starts with flags (u16); idx follows. linux/virtio_ring.h. */
const USED_IDX_OFFSET = 2n;

/** Where a device sits in its VM. */
export interface DevicePlace {
  readonly vm: Vm;
  /** Guest physical address of the virtio-mmio window. */
  readonly base: bigint;
  readonly irq: IrqSource;
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
  /** True while a back-end serves the ring. */
  started = false;
  /** True once any back-end was given the ring: the next must go on where that one stopped. */
  handedOver = false;
  readonly #vm: Vm;
  readonly #wirings: Wiring[] = [];

  /**
   * @param onInterrupt - the device's own interrupt path, where no kernel injects
   * @throws {IoreqError} when the VM refuses the wiring
   */
  constructor(place: DevicePlace, config: QueueConfig, onInterrupt: () => void) {
    this.config = config;
    this.#vm = place.vm;
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
        place.irq.irqfd(this.call, onInterrupt),
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

  /**
   * Where a new back-end goes on: after the last request that was returned to the guest. Requests
   * taken but not returned by the old one are served again, which is right for devices that serve in
   * order.
   *
   * @throws {VmMemoryError} when the guest gave a used ring outside its memory
   */
  resumeIndex(): number {
    return this.#vm.memory.readU16(guestAddress(this.config.usedRing + USED_IDX_OFFSET));
  }

  close(): void {
    for (const wiring of this.#wirings.splice(0)) wiring.close();
    this.kick.close();
    this.call.close();
  }
}
