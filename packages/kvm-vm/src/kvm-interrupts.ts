import type { Assignment, KvmVm } from '@node-vmm/kvm-sys';
import {
  type IrqCarrier,
  type IrqEvents,
  type IrqLine,
  type IrqSource,
  type MessageInterrupt,
  VmError,
} from '@node-vmm/vm-device';
import { type EventFd, hex, U32_MAX } from '@node-vmm/vmm-sys-util';
import { hypervisor } from './hypervisor.ts';
import { MessageIrq, type MessageIrqParts } from './message-irq.ts';
import { MessageRoutes } from './message-routes.ts';
import { PC_LAYOUT } from './pc-layout.ts';

/** Ours: inputs of the I/O APIC that are no device's: the timer's, and by which the second PIC reaches the first. */
const NOT_FOR_DEVICES: readonly IrqLine[] = [0, 2];
/** Ours: those that are. */
export const DEVICE_LINES: readonly IrqLine[] = Array.from(
  { length: PC_LAYOUT.FIRST_MESSAGE },
  (_, irq) => irq,
).filter((irq) => !NOT_FOR_DEVICES.includes(irq));
/** Intel SDM volume 3, "Message Address Register Format": bits 20 to 31 of every message's address. */
const MESSAGE_ADDRESS = 0xfeen;

/** @throws {VmError} BAD_IRQ */
export function checkLine(irq: IrqLine, vm: string): void {
  if (DEVICE_LINES.includes(irq)) return;
  const text = `Cannot use interrupt ${irq}: for devices ${vm} has 1 and 3 to ${PC_LAYOUT.FIRST_MESSAGE - 1}`;
  throw new VmError('BAD_IRQ', text, { vm, irq });
}

/** @throws {VmError} BAD_IRQ */
export function checkMessage({ address, data }: MessageInterrupt, vm: string): void {
  const whole = Number.isInteger(data) && data >= 0 && data <= U32_MAX;
  if (whole && address >> 20n === MESSAGE_ADDRESS) return;
  const text = `Cannot connect a message to ${hex(address)}: messages of x86 are 32-bit values written to 0xfee00000 to 0xfeefffff`;
  throw new VmError('BAD_IRQ', text, { vm, guestAddr: address });
}

/** The interrupts of a machine. */
export class KvmInterrupts {
  readonly #name: string;
  readonly #vm: KvmVm;
  readonly #routes: MessageRoutes;

  /** @param name - of the machine, for messages */
  constructor(name: string, vm: KvmVm) {
    this.#name = name;
    this.#vm = vm;
    this.#routes = new MessageRoutes(vm);
  }

  /** @throws {VmError} HYPERVISOR */
  setLine(irq: IrqLine, level: boolean, carrier: IrqCarrier): void {
    hypervisor(`set interrupt ${irq} of ${this.#name}`, { vm: this.#name, irq }, () => {
      this.#vm.irqLine(irq, level ? 1 : 0);
      if (carrier === 'message') this.#vm.irqLine(irq, 0);
    });
  }

  /** @param events - what is said of what is returned */
  connectMessage(
    interrupt: MessageInterrupt,
    makeIrqfd: MessageIrqParts['makeIrqfd'],
    { onClose, onRaise }: IrqEvents,
  ): IrqSource {
    const { address: guestAddr, data } = interrupt;
    const context = { vm: this.#name, guestAddr };
    const signal = (): void => {
      hypervisor(`interrupt ${this.#name} by a message`, context, () =>
        this.#vm.signalMsi({ address: guestAddr, data }),
      );
      onRaise();
    };
    return new MessageIrq({ interrupt, signal, makeIrqfd, onClose });
  }

  /** Has the kernel send a message for each signal. @throws {KvmSysError} */
  messageIrqfd(interrupt: MessageInterrupt, eventfd: EventFd): Pick<Assignment, 'close'> {
    const gsi = this.#routes.add(interrupt);
    try {
      const irqfd = this.#vm.irqfd({ gsi, eventfd });
      return {
        close: () => {
          irqfd.close();
          this.#routes.remove(gsi);
        },
      };
    } catch (error) {
      this.#routes.remove(gsi);
      throw error;
    }
  }
}
