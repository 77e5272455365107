/**
 * Guest memory of Xen domains: foreign mapping by guest frame number, found and mapped with every
 * page's result checked.
 *
 * @packageDocumentation
 */
export type { ForeignSourceOptions } from './foreign-source.ts';
export * from './guest-memory-xen.ts';
export * from './xen-mmap-flags.ts';
