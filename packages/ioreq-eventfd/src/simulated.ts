/**
 * A virtual machine without a hypervisor, whose guest is another process or thread.
 *
 * @packageDocumentation
 */
export type * from './simulated-machine.ts';
export * from './simulated-vm.ts';
