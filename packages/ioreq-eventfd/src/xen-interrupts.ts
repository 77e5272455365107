import { type DomId, PCI_ISA_IRQ_MASK } from '@node-vmm/xen-sys';
import { IoreqError } from './errors.ts';
import type { IrqLine, IrqTrigger } from './irq.ts';
import type { IrqCarrier } from './irq-wires.ts';

/** Kind of interrupts: shared peripheral interrupts on Arm, ISA lines on x86. */
export type IrqKind = 'spi' | 'isa';

/** ISA lines that the hypervisor drives itself. */
const TAKEN_ISA: ReadonlyMap<IrqLine, string> = new Map([
  [0, 'the timer'],
  [2, 'the second interrupt controller'],
  [8, 'the real-time clock'],
]);
const RANGES = { spi: [32, 1019], isa: [0, 15] } as const;

/** @throws {IoreqError} BAD_IRQ when a guest has no such interrupt for devices */
export function checkXenIrq(kind: IrqKind, irq: IrqLine, domid: DomId): void {
  const [first, last] = RANGES[kind];
  const owner = kind === 'isa' ? TAKEN_ISA.get(irq) : undefined;
  if (Number.isInteger(irq) && irq >= first && irq <= last && owner === undefined) return;
  const state = owner === undefined ? `it has ${first} to ${last}` : `it belongs to ${owner}`;
  const text = `Cannot use interrupt ${irq} of xen:${domid}: ${state}`;
  throw new IoreqError('BAD_IRQ', text, { irq, domid });
}

/**
 * What carries an interrupt of a guest. On Arm each level 1 is an edge of its own (Xen's vgic takes
 * no notice of level 0), whatever the device tree says of the SPI. On x86 a line is what the guest's
 * firmware made it: hvmloader has PCI interrupts, which are levels, at 5, 10 and 11.
 */
export function xenCarrierOf(
  kind: IrqKind,
  irq: IrqLine,
  trigger: IrqTrigger | undefined,
): IrqCarrier {
  if (kind === 'spi') return 'message';
  return trigger ?? ((PCI_ISA_IRQ_MASK & (1 << irq)) !== 0 ? 'level' : 'edge');
}
