/**
 * What a virtual machine is to the devices that live outside of it: the {@link Vm} interface, the
 * buses of its address spaces, wirings and interrupts, and the part of an implementation that needs
 * no hypervisor ({@link UserSpaceVm}).
 *
 * @packageDocumentation
 */
export { type AddressRange, type AddressSpace, describeRange } from './address-space.ts';
export * from './bus.ts';
export type * from './bus-handler.ts';
export * from './errors.ts';
export type * from './guest-platform.ts';
export * from './held.ts';
export * from './held-times.ts';
export type * from './irq.ts';
export * from './irq-wires.ts';
export * from './user-space-vm.ts';
export type * from './vm.ts';
export { type MakeIrqfd, WiredIrq } from './wired-irq.ts';
export { OneWiring, type Wiring, WiringSet } from './wiring.ts';
