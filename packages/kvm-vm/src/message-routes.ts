import type { IrqRoute, KvmVm } from '@node-vmm/kvm-sys';
import type { MessageInterrupt } from '@node-vmm/vm-device';
import { PC_LAYOUT } from './pc-layout.ts';

/** Ours: inputs of a PIC. */
const PIC_PINS = 8;
/** Linux arch/x86/include/uapi/asm/kvm.h: KVM_IRQCHIP_IOAPIC. */
const IOAPIC = 2;

/** What KVM routes by itself (arch/x86/kvm/irq_comm.c): telling it of more takes this away. */
function lineRoutes(): IrqRoute[] {
  const routes: IrqRoute[] = [];
  for (let gsi = 0; gsi < PC_LAYOUT.FIRST_MESSAGE; gsi++) {
    routes.push({ gsi, type: 'irqchip', irqchip: IOAPIC, pin: gsi });
    if (gsi < 2 * PIC_PINS) {
      const irqchip = gsi < PIC_PINS ? 0 : 1;
      routes.push({ gsi, type: 'irqchip', irqchip, pin: gsi % PIC_PINS });
    }
  }
  return routes;
}

/** Interrupt numbers for messages that the kernel is to send: an irqfd needs one. */
export class MessageRoutes {
  readonly #vm: KvmVm;
  readonly #messages = new Map<number, MessageInterrupt>();

  constructor(vm: KvmVm) {
    this.#vm = vm;
  }

  /**
   * @returns the number that stands for the message
   * @throws {KvmSysError} INVALID when there are as many as KVM can have
   */
  add(message: MessageInterrupt): number {
    let gsi: number = PC_LAYOUT.FIRST_MESSAGE;
    while (this.#messages.has(gsi)) gsi++;
    this.#messages.set(gsi, message);
    try {
      this.#tell();
    } catch (error) {
      this.#messages.delete(gsi);
      throw error;
    }
    return gsi;
  }

  /** @throws {KvmSysError} */
  remove(gsi: number): void {
    if (this.#messages.delete(gsi)) this.#tell();
  }

  #tell(): void {
    const messages = Array.from(this.#messages, ([gsi, { address, data }]): IrqRoute => {
      return { gsi, type: 'msi', address, data };
    });
    this.#vm.setGsiRouting([...lineRoutes(), ...messages]);
  }
}
