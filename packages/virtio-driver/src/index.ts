/**
 * Guest-side virtio drivers in TypeScript: the virtio-mmio transport and an I2C adapter driver, for demos and tests.
 *
 * @packageDocumentation
 */
export {};
