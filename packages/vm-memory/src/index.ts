/**
 * Guest physical memory: regions, bounds-checked access, zero-copy slices; memfd/fd mappings and Xen foreign mappings.
 *
 * @packageDocumentation
 */
export {};
