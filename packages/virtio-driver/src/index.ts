/**
 * Guest-side virtio drivers in TypeScript, for demos and tests: the virtio-mmio transport, an I2C
 * adapter driver, and the guest of a simulated machine for them to run on.
 *
 * @packageDocumentation
 */
export * from './driver-queue.ts';
export * from './errors.ts';
export * from './guest-heap.ts';
export type * from './guest-platform.ts';
export * from './mmio-driver-transport.ts';
export * from './simulated-guest.ts';
export * from './virtio-i2c.ts';
export * from './virtio-i2c-driver.ts';
