import type { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import type {
  AddressRange,
  BusHandler,
  Interrupt,
  IoeventfdMatch,
  IrqSource,
  Vm,
  Wiring,
} from '@node-vmm/vm-device';
import type { EventFd } from '@node-vmm/vmm-sys-util';
import type { BridgedVm } from '../../src/bridged-vm.ts';

/** What a bridge is attached to where the machine outlives the bridge, as a hypervisor's does. */
export function attachLasting(vm: SimulatedVm): BridgedVm {
  // Only then have all windows been mapped that another bridge left.
  setImmediate(() => vm.takeUp());
  const keeper = { keep: () => vm.keep(), unkeep: () => vm.takeUp() };
  return { vm: new LastingVm(vm), memory: Promise.resolve(vm.memory), keeper };
}

class LastingVm implements Vm {
  readonly #vm: SimulatedVm;
  readonly #open = new Set<Disposable>();
  live = true;

  constructor(vm: SimulatedVm) {
    this.#vm = vm;
  }

  get name(): string {
    return this.#vm.name;
  }

  get memory(): SimulatedVm['memory'] {
    return this.#vm.memory;
  }

  map(range: AddressRange, handler: BusHandler): Wiring {
    return this.#own(this.#vm.map(range, handler));
  }

  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring {
    return this.#own(this.#vm.ioeventfd(match, eventfd));
  }

  connectIrq(interrupt: Interrupt): IrqSource {
    return this.#own(this.#vm.connectIrq(interrupt));
  }

  #own<T extends Disposable>(resource: T): T {
    this.#open.add(resource);
    return resource;
  }

  close(): void {
    this.live = false;
    for (const resource of this.#open) resource[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
