/**
 * Virtual machines on /dev/kvm whose devices live in this process or behind it: {@link KvmMachine} is a `Vm`, as
 * those of Xen and the simulated one are. Guests are bare-metal programs, booted by the PVH ABI.
 *
 * @packageDocumentation
 */
export * from './boot/bare-metal.ts';
export * from './boot/debug-console.ts';
export * from './boot/exit-port.ts';
export * from './boot/pvh.ts';
export type { EntryState } from './entry-state.ts';
export * from './errors.ts';
export * from './kvm-machine.ts';
export type { MachineEnd } from './machine-end.ts';
export type * from './machine-options.ts';
export { MEMORY_MAX, MEMORY_MIN, memoryBanks, PC_LAYOUT } from './pc-layout.ts';
