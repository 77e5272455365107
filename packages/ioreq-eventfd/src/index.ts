/**
 * The ioreq page and its dispatcher: how Xen hands the accesses of a guest to a device model. The
 * virtual machines made of them are in `@node-vmm/ioreq-eventfd/xen` and
 * `@node-vmm/ioreq-eventfd/simulated`; what a machine is, in `@node-vmm/vm-device`.
 *
 * @packageDocumentation
 */
export type * from './access-host.ts';
export * from './access-request.ts';
export { countsOf } from './counts-of.ts';
export * from './ioreq-dispatcher.ts';
export { IOREQ_TYPE_COPY, IOREQ_TYPE_PIO } from './ioreq-layout.ts';
export * from './ioreq-page.ts';
