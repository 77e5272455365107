/**
 * A virtual machine without a hypervisor, whose guest is another process or thread.
 *
 * @packageDocumentation
 */

export { IOREQ_TYPE_COPY, STATE_IORESP_READY } from './ioreq-layout.ts';
export type * from './simulated-machine.ts';
export * from './simulated-vm.ts';
