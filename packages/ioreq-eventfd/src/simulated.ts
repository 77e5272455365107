/**
 * A virtual machine without a hypervisor, and its guest: another process or thread.
 *
 * @packageDocumentation
 */
export * from './simulated-guest.ts';
export type * from './simulated-machine.ts';
export * from './simulated-vm.ts';
