import {
  type AddressRange,
  heldPromise,
  type IrqCarrier,
  type IrqLine,
  type LineInterrupt,
  UserSpaceVm,
  VmError,
} from '@node-vmm/vm-device';
import type { AccessPlace, GuestUnderTest } from '@node-vmm/vm-device/testing';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';
import { type Poller, silentLogger } from '@node-vmm/vmm-sys-util';

/** What a {@link DirectVm} has. */
export interface DirectVmOptions {
  readonly ports: boolean;
  readonly carrier: IrqCarrier;
}

/**
 * The least that is a machine: the guest's accesses are calls of the buses, its interrupt controller
 * is a field. What is not here, `UserSpaceVm` does for every hypervisor.
 */
export class DirectVm extends UserSpaceVm<GuestMemoryBuffer> implements GuestUnderTest {
  readonly irq = 9;
  readonly claimed = new Set<AddressRange>();
  released = 0;
  readonly #carrier: IrqCarrier;
  readonly #closed: Promise<void>;
  #close: () => void = () => undefined;
  #level = false;
  #latched = false;

  constructor(poller: Poller, options: DirectVmOptions) {
    super({
      name: 'direct',
      spaces: options.ports ? ['port'] : [],
      memory: () => GuestMemoryBuffer.create([]),
      poller,
      logger: silentLogger,
    });
    this.#carrier = options.carrier;
    this.#closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  async read(address: bigint, size: number, { space = 'memory' }: AccessPlace = {}) {
    const bus = this.buses[space];
    await heldPromise(bus?.windowAt(Number(address), size)?.handler.ready);
    return bus?.read(Number(address), size) ?? 0n;
  }

  async write(
    address: bigint,
    size: number,
    value: bigint,
    { space = 'memory' }: AccessPlace = {},
  ) {
    const bus = this.buses[space];
    await heldPromise(bus?.windowAt(Number(address), size)?.handler.ready);
    const held = bus?.write(Number(address), size, value);
    await Promise.race([heldPromise(held).catch(() => undefined), this.#closed]);
  }

  takeInterrupt(): boolean {
    const taken = this.#latched || (this.#carrier === 'level' && this.#level);
    this.#latched = false;
    return taken;
  }

  async interrupt(): Promise<void> {
    while (!this.takeInterrupt()) await new Promise(setImmediate);
  }

  protected setIrq(_irq: IrqLine, level: boolean): void {
    if (this.#carrier === 'message' || (this.#carrier === 'edge' && level && !this.#level)) {
      this.#latched = true;
    }
    this.#level = level;
  }

  protected carrierOf({ trigger }: LineInterrupt): IrqCarrier {
    return trigger ?? this.#carrier;
  }

  protected checkIrq(irq: IrqLine): void {
    if (irq !== this.irq) throw new VmError('BAD_IRQ', `Cannot use interrupt ${irq}: only 9`);
  }

  protected claim(range: AddressRange): () => void {
    this.claimed.add(range);
    return () => this.claimed.delete(range);
  }

  protected release(): void {
    this.released++;
    this.#close();
  }
}
