/**
 * ioeventfd, irqfd and MMIO dispatch for virtual machines outside the hypervisor: the {@link Vm}
 * interface, the bus and the ioreq dispatcher behind it. The virtual machines themselves are in
 * `@node-vmm/ioreq-eventfd/xen` and `@node-vmm/ioreq-eventfd/simulated`.
 *
 * @packageDocumentation
 */
export * from './errors.ts';
export * from './ioreq-dispatcher.ts';
export * from './ioreq-page.ts';
export type * from './irq.ts';
export { MmioBus, type MmioCounters } from './mmio-bus.ts';
export type * from './mmio-handler.ts';
export type * from './vm.ts';
export type { Wiring } from './wiring.ts';
