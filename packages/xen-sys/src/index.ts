/**
 * Xen from Node.js without the C Xen libraries: hypercalls, device model operations, event channels
 * and foreign memory through the Linux drivers under /dev/xen.
 *
 * @packageDocumentation
 */
export * from './abi/arch-arm.ts';
export * from './abi/arch-x86.ts';
export * from './abi/dm-op.ts';
export * from './abi/domctl.ts';
export * from './abi/evtchn.ts';
export * from './abi/hvm.ts';
export * from './abi/ioreq.ts';
export * from './abi/memory.ts';
export * from './abi/privcmd.ts';
export * from './abi/version.ts';
export * from './abi/xen.ts';
export * from './device.ts';
export * from './device-model.ts';
export * from './dm-op-codec.ts';
export * from './domain-pause.ts';
export * from './errors.ts';
export * from './event-channels.ts';
export * from './foreign-memory.ts';
export * from './guest-layout.ts';
export * from './hvm-param.ts';
export * from './hypercall.ts';
export * from './hypercall-buffers.ts';
export * from './ids.ts';
export * from './ioreq-page.ts';
export * from './kernel-notification.ts';
export * from './memory-op.ts';
export * from './privcmd.ts';
export * from './process-mappings.ts';
export * from './status.ts';
export * from './version.ts';
export * from './xen-host.ts';
