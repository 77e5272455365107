import { type IrqCarrier, type IrqLine, type LineInterrupt, VmError } from '@node-vmm/vm-device';
import { type DeviceModelOps, type DomId, PCI_ISA_IRQ_MASK } from '@node-vmm/xen-sys';

/** Kind of interrupts: shared peripheral interrupts on Arm, ISA lines on x86. */
export type IrqKind = 'spi' | 'isa';

/** ISA lines that the hypervisor drives itself. */
const TAKEN_ISA: ReadonlyMap<IrqLine, string> = new Map([
  [0, 'the timer'],
  [2, 'the second interrupt controller'],
  [8, 'the real-time clock'],
]);
const RANGES = { spi: [32, 1019], isa: [0, 15] } as const;

/** @throws {VmError} BAD_IRQ when a guest has no such interrupt for devices */
export function checkXenIrq(kind: IrqKind, irq: IrqLine, domid: DomId): void {
  const [first, last] = RANGES[kind];
  const owner = kind === 'isa' ? TAKEN_ISA.get(irq) : undefined;
  if (Number.isInteger(irq) && irq >= first && irq <= last && owner === undefined) return;
  const state = owner === undefined ? `it has ${first} to ${last}` : `it belongs to ${owner}`;
  const vm = `xen:${domid}`;
  throw new VmError('BAD_IRQ', `Cannot use interrupt ${irq} of ${vm}: ${state}`, { vm, irq });
}

/**
 * What carries an interrupt of a guest. On Arm each level 1 is an edge of its own (Xen's vgic takes
 * no notice of level 0), whatever the device tree says of the SPI. On x86 a line is what the guest's
 * firmware made it: hvmloader has PCI interrupts, which are levels, at 5, 10 and 11.
 */
export function xenCarrierOf(kind: IrqKind, { irq, trigger }: LineInterrupt): IrqCarrier {
  if (kind === 'spi') return 'message';
  return trigger ?? ((PCI_ISA_IRQ_MASK & (1 << irq)) !== 0 ? 'level' : 'edge');
}

/** Sets an input of a guest's interrupt controller. @throws {XenSysError} */
export function setXenIrq(
  model: DeviceModelOps,
  kind: IrqKind,
  irq: IrqLine,
  level: boolean,
): void {
  if (kind === 'isa') model.setIsaIrqLevel(irq, level);
  else model.setIrqLevel(irq, level);
}
