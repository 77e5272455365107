import type { MmioTransportState, TransportCounters, VirtioDevice } from '@node-vmm/virtio-device';
import {
  type IrqLine,
  type IrqSource,
  type IrqTrigger,
  OneWiring,
  type Wiring,
} from '@node-vmm/vm-device';
import { DispatchedDevice } from '@node-vmm/vm-dispatch';
import type { EventFd, Logger } from '@node-vmm/vmm-sys-util';
import type { DeviceRegisters, RegisterEvents } from './device-registers.ts';

/** What {@link DispatchedRegisters} work with. */
export interface DispatchedRegistersComponents {
  /** The machine's end of the interrupt, for kernels that raise it. */
  readonly irq: IrqSource;
  readonly line: { readonly irq: IrqLine; readonly trigger?: IrqTrigger | undefined };
  /** Bytes. */
  readonly configSize: number;
  readonly logger: Logger;
  readonly events: RegisterEvents;
}

/** Registers of a device that a dispatch thread serves, and its interrupt where no kernel raises it. */
export class DispatchedRegisters implements DeviceRegisters {
  readonly #irq: IrqSource;
  #device: DispatchedDevice;
  readonly #restored: (state: MmioTransportState) => DispatchedDevice;

  constructor(device: VirtioDevice, components: DispatchedRegistersComponents) {
    const { irq, line, configSize, logger, events } = components;
    this.#irq = irq;
    const make = (state?: MmioTransportState): DispatchedDevice =>
      new DispatchedDevice(device, {
        irq: line.irq,
        trigger: line.trigger,
        configSize,
        state,
        onRestored: (problem) => events.onRestored(problem),
        logger,
      });
    this.#device = make();
    this.#restored = make;
  }

  get handler(): DispatchedDevice {
    return this.#device;
  }

  get status(): number {
    return this.#device.status;
  }

  get counters(): Readonly<TransportCounters> {
    return this.#device.counters;
  }

  configChanged(): void {
    this.#device.configChanged();
  }

  configWritten(): void {
    this.#device.configWritten();
  }

  needsReset(): void {
    this.#device.needsReset();
  }

  setVringInterruptsAssisted(on: boolean): void {
    this.#device.setVringInterruptsAssisted(on);
  }

  irqfd(call: EventFd): Wiring {
    const wiring = this.#irq.irqfd(call, () => this.#device.queueInterrupt());
    if (wiring.kernelAssisted) return wiring;
    wiring.close();
    return new OneWiring(false, this.#device.irqfd(call));
  }

  restore(state: MmioTransportState): void {
    this.#device = this.#restored(state);
  }

  state(): Promise<MmioTransportState | undefined> {
    return this.#device.state();
  }
}
