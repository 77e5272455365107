import { checkInteger, checkU64, U32_MAX } from '@node-vmm/vmm-sys-util';
import {
  KVM_IRQ_ROUTING,
  KVM_IRQ_ROUTING_ENTRY,
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_IRQCHIP_ARG,
  KVM_IRQ_ROUTING_MSI,
  KVM_IRQ_ROUTING_MSI_ARG,
  KVM_MSI,
  KVM_MSI_VALID_DEVID,
} from './abi/vm.ts';

/** A message-signalled interrupt: what the device writes and where. */
export interface KvmMsi {
  readonly address: bigint;
  /** Up to 32 bits. */
  readonly data: number;
  /** Of the device that writes, where the interrupt controller asks for it (arm64's ITS). */
  readonly deviceId?: number;
}

/** Where an interrupt (a GSI: the number that `irqLine` and `irqfd` take) comes out. */
export type IrqRoute =
  | {
      readonly gsi: number;
      readonly type: 'irqchip';
      /** x86: 0 and 1 are the PICs, 2 is the I/O APIC. */
      readonly irqchip: number;
      readonly pin: number;
    }
  | ({ readonly gsi: number; readonly type: 'msi' } & KvmMsi);

const LOW = 0xffff_ffffn;

function msiWords({ address, data, deviceId }: KvmMsi): {
  address_lo: number;
  address_hi: number;
  data: number;
  flags: number;
  devid: number;
} {
  checkU64('address', address);
  return {
    address_lo: Number(address & LOW),
    address_hi: Number(address >> 32n),
    data: checkInteger('data', data, 0, U32_MAX),
    flags: deviceId === undefined ? 0 : KVM_MSI_VALID_DEVID,
    devid: deviceId === undefined ? 0 : checkInteger('deviceId', deviceId, 0, U32_MAX),
  };
}

/**
 * `struct kvm_msi`.
 *
 * @throws {RangeError} when a number does not fit
 */
export function encodeMsi(msi: KvmMsi): Uint8Array<ArrayBuffer> {
  return KVM_MSI.encode(msiWords(msi));
}

/**
 * `struct kvm_irq_routing` with these routes.
 *
 * @throws {RangeError} when a number does not fit
 */
export function encodeIrqRouting(routes: readonly IrqRoute[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(KVM_IRQ_ROUTING.SIZE + routes.length * KVM_IRQ_ROUTING_ENTRY.SIZE);
  const view = new DataView(out.buffer);
  KVM_IRQ_ROUTING.write(view, 0, { nr: routes.length });
  for (const [i, route] of routes.entries()) {
    const gsi = checkInteger('gsi', route.gsi, 0, U32_MAX);
    const at = KVM_IRQ_ROUTING.SIZE + i * KVM_IRQ_ROUTING_ENTRY.SIZE;
    if (route.type === 'irqchip') {
      const u = KVM_IRQ_ROUTING_IRQCHIP_ARG.encode({
        irqchip: checkInteger('irqchip', route.irqchip, 0, U32_MAX),
        pin: checkInteger('pin', route.pin, 0, U32_MAX),
      });
      KVM_IRQ_ROUTING_ENTRY.write(view, at, { gsi, type: KVM_IRQ_ROUTING_IRQCHIP, u });
    } else {
      const { flags, ...words } = msiWords(route);
      const u = KVM_IRQ_ROUTING_MSI_ARG.encode(words);
      KVM_IRQ_ROUTING_ENTRY.write(view, at, { gsi, type: KVM_IRQ_ROUTING_MSI, flags, u });
    }
  }
  return out;
}
