/**
 * KVM from Node.js through /dev/kvm: virtual machines, vCPUs that run in worker threads, and notification
 * between guest and eventfds without this process.
 *
 * @packageDocumentation
 */
export * from './abi/arm64.ts';
export * from './abi/kvm.ts';
export * from './abi/run.ts';
export * from './abi/vm.ts';
export * from './abi/x86.ts';
export type { Assignment } from './assignments.ts';
export type { CpuidEntry } from './cpuid.ts';
export * from './device.ts';
export * from './errors.ts';
export * from './hardware.ts';
export * from './irq-routing.ts';
export * from './kvm.ts';
export * from './kvm-vcpu.ts';
export * from './kvm-vm.ts';
export type { IoeventfdOptions, IrqfdOptions } from './notification.ts';
export type { KvmDtable, KvmSegment, KvmSregs } from './sregs.ts';
export type { VcpuBus } from './vcpu-bus.ts';
export * from './vcpu-control.ts';
export * from './vcpu-exit.ts';
export * from './vcpu-registers.ts';
export * from './vcpu-threads.ts';
export * from './vcpu-ticket.ts';
