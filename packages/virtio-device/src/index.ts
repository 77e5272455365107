/**
 * The virtio-mmio v2 register machine that every front-end shares.
 *
 * @packageDocumentation
 */
export {};
