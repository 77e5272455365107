/**
 * The numbers and structs of VIRTIO 1.3, one module a section: device status, feature bits, ring
 * layouts, registers, device IDs, each device's requests; and vhost-user's flags of Xen memory. No
 * code but what reads a feature word, and nothing native is loaded.
 *
 * @packageDocumentation
 */
export * from './device-status.ts';
export * from './device-types.ts';
export * from './feature-bits.ts';
export * from './gpio.ts';
export * from './i2c.ts';
export * from './mmio.ts';
export * from './reserved-feature-bits.ts';
export * from './split-virtqueues.ts';
export * from './xen-mmap.ts';
