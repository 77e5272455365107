import type { GuestRange } from '@node-vmm/vm-memory';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { BridgeCounters } from './bridge-counters.ts';
import type { BridgedVm } from './bridged-vm.ts';
import type { DeviceSite } from './device-source.ts';
import { DeviceWindow } from './device-window.ts';
import type { GuestActivity } from './guest-counters.ts';
import type { GuestStatus } from './status.ts';

/** How guests are attached to. */
export interface GuestsComponents {
  readonly attachVm: (guest: number, memory?: readonly GuestRange[]) => BridgedVm;
  readonly logger: Logger;
  readonly counters: BridgeCounters;
  /** How long accesses to a window wait for its device, milliseconds. */
  readonly holdMs: number;
}

interface Guest {
  readonly attached: BridgedVm;
  /** Called before it is detached from. */
  readonly gone: () => void;
  windows: number;
}

type Site = DeviceSite & { readonly memory?: readonly GuestRange[] };

/** The guests that a bridge is attached to: each while one of its windows is claimed. */
export class Guests {
  readonly #components: GuestsComponents;
  readonly #guests = new Map<number, Guest>();

  constructor(components: GuestsComponents) {
    this.#components = components;
  }

  get ids(): number[] {
    return [...this.#guests.keys()];
  }

  /** As plain data. */
  status(): GuestStatus[] {
    return [...this.#guests].map(([guest, { attached, windows }]) => ({
      guest,
      vm: attached.vm.name,
      devices: windows,
      ...activityOf(attached),
    }));
  }

  /**
   * Claims a window; its guest is attached to as long as it has one.
   *
   * @param wanted - else it is not claimed; default: it is
   * @returns undefined when it was not wanted
   * @throws {VmError} when the VM refuses the window; what attaching throws
   */
  openWindow(site: Site): DeviceWindow;
  openWindow(site: Site, wanted: (attached: BridgedVm) => boolean): DeviceWindow | undefined;
  openWindow(
    { guest, base, memory }: Site,
    wanted: (attached: BridgedVm) => boolean = () => true,
  ): DeviceWindow | undefined {
    const attached = this.#attach(guest, memory);
    let window: DeviceWindow | undefined;
    try {
      if (wanted(attached)) {
        const { holdMs } = this.#components;
        window = new DeviceWindow(attached, base, holdMs, () => this.#detach(guest));
      }
      return window;
    } finally {
      if (window === undefined) this.#detach(guest);
    }
  }

  /**
   * Attaches to a guest, or stays attached to it, whatever becomes of its windows.
   *
   * @returns `release` lets go of it; to be called once
   * @throws what attaching throws
   */
  hold(
    guest: number,
    memory?: readonly GuestRange[],
  ): { readonly attached: BridgedVm; readonly release: () => void } {
    const attached = this.#attach(guest, memory);
    return { attached, release: () => this.#detach(guest) };
  }

  #attach(guest: number, memory: readonly GuestRange[] | undefined): BridgedVm {
    const known = this.#guests.get(guest);
    if (known !== undefined) {
      known.windows++;
      return known.attached;
    }
    const attached = this.#components.attachVm(guest, memory);
    const gone = this.#components.counters.addGuest(() => activityOf(attached));
    this.#guests.set(guest, { attached, gone, windows: 1 });
    return attached;
  }

  #detach(guest: number): void {
    const known = this.#guests.get(guest);
    if (known === undefined || --known.windows > 0) return;
    this.#guests.delete(guest);
    known.gone();
    known.attached.vm.close();
    this.#components.logger.info({ vm: known.attached.vm.name }, 'guest detached');
  }
}

function activityOf({ counters, held }: BridgedVm): GuestActivity {
  return { counters: counters?.() ?? {}, ...(held === undefined ? {} : { held: held() }) };
}
