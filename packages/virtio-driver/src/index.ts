/**
 * Guest-side virtio drivers in TypeScript, for demos and tests: the virtio-mmio transport and an I2C
 * adapter driver, on any `GuestPlatform` of `@node-vmm/vm-device`.
 *
 * @packageDocumentation
 */
export { VIRTIO_ID_I2C_ADAPTER } from '@node-vmm/virtio-bindings/device-types';
export * from '@node-vmm/virtio-bindings/i2c';
/** Names of before, see `@node-vmm/virtio-bindings`. @deprecated */
export {
  VIRTIO_I2C_IN_HDR as virtio_i2c_in_hdr,
  VIRTIO_I2C_OUT_HDR as virtio_i2c_out_hdr,
} from '@node-vmm/virtio-bindings/i2c';
export * from './driver-queue.ts';
export * from './errors.ts';
export * from './guest-heap.ts';
export * from './mmio-driver-transport.ts';
export * from './virtio-i2c-driver.ts';
