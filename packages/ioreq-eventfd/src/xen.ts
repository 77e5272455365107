/**
 * A guest of Xen whose devices live in this process: an IOREQ server with kernel-assisted
 * notification where the kernel has it.
 *
 * @packageDocumentation
 */
export type { IrqKind } from './xen-interrupts.ts';
export * from './xen-vm.ts';
export type * from './xen-vm-options.ts';
