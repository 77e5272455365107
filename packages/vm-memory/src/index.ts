/**
 * Guest physical memory: regions, bounds-checked access across their borders, zero-copy loans for
 * the data path, memory in memfds and in files received from another process. Xen foreign mappings
 * are in `@node-vmm/vm-memory/xen`.
 *
 * @packageDocumentation
 */
export type { ChunkSource } from './borrowed-chunks.ts';
export * from './chunk-clock.ts';
export * from './chunk-loans.ts';
export * from './copy-bytes.ts';
export * from './demand-chunk.ts';
export * from './errors.ts';
export * from './file-mapping.ts';
export * from './guest-address.ts';
export * from './guest-memory.ts';
export * from './guest-memory-demand.ts';
export * from './guest-memory-mmap.ts';
export * from './guest-memory-view.ts';
export * from './guest-numbers.ts';
export * from './guest-range.ts';
export * from './host-windows.ts';
export * from './mapped-region.ts';
export * from './mapping-regions.ts';
export * from './region-guest-memory.ts';
export * from './segment-table.ts';
export * from './shared-memory.ts';
