/**
 * Guest memory of Xen domains: foreign mapping by guest frame number, found and mapped with every
 * page's result checked.
 *
 * @packageDocumentation
 */
export * from '@node-vmm/virtio-bindings/xen-mmap';
export { XenBankMemory, type XenBankOptions, type XenToldBanks } from './bank-memory.ts';
export * from './foreign-pages.ts';
export type { ForeignSourceOptions } from './foreign-source.ts';
export * from './guest-memory-xen.ts';
export * from './map-foreign.ts';
