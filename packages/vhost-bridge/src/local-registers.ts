import {
  type MmioTransportState,
  type TransportCounters,
  type VirtioDevice,
  VirtioMmioTransport,
} from '@node-vmm/virtio-device';
import type { IrqSource, Wiring } from '@node-vmm/vm-device';
import type { EventFd, Logger } from '@node-vmm/vmm-sys-util';
import type { DeviceRegisters, RegisterEvents } from './device-registers.ts';

/** Registers of a device that this thread serves. */
export class LocalRegisters implements DeviceRegisters {
  readonly handler: VirtioMmioTransport;
  readonly #irq: IrqSource;
  readonly #events: RegisterEvents;

  constructor(device: VirtioDevice, irq: IrqSource, logger: Logger, events: RegisterEvents) {
    this.#irq = irq;
    this.#events = events;
    this.handler = new VirtioMmioTransport(device, {
      interrupt: () => irq.raise(),
      interruptsAcknowledged: () => irq.lower(),
      logger,
    });
  }

  get status(): number {
    return this.handler.status;
  }

  get counters(): Readonly<TransportCounters> {
    return this.handler.counters;
  }

  configChanged(): void {
    this.handler.configChanged();
  }

  /** Reads ask the device. */
  configWritten(): void {}

  needsReset(): void {
    this.handler.needsReset();
  }

  setVringInterruptsAssisted(on: boolean): void {
    this.handler.setVringInterruptsAssisted(on);
  }

  irqfd(call: EventFd): Wiring {
    return this.#irq.irqfd(call, () => this.handler.queueInterrupt());
  }

  restore(state: MmioTransportState): void {
    this.#events.onRestored(this.handler.restore(state));
  }

  state(): Promise<MmioTransportState> {
    return Promise.resolve(this.handler.state);
  }
}
