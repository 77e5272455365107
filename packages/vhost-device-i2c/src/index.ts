/**
 * vhost-user I2C device daemon: Linux I2C adapters or simulated chips for any vhost-user front-end.
 * VIRTIO 1.3 §5.16.
 *
 * The package is a program first (`vhost-device-i2c`); what it is made of can be used by itself: the
 * device in another daemon, the Linux adapter or the simulated bus without any guest.
 *
 * @packageDocumentation
 */
export { VIRTIO_ID_I2C_ADAPTER } from '@node-vmm/virtio-bindings/device-types';
export * from '@node-vmm/virtio-bindings/i2c';
export * from './address.ts';
export * from './address-map.ts';
export * from './backend.ts';
export * from './counters.ts';
export { createDevice, type I2cDeviceOptions, type I2cHostOptions } from './device.ts';
export * from './device-list.ts';
export * from './errors.ts';
export * from './i2c-host.ts';
export * from './linux/adapters.ts';
export * from './linux/i2c-dev.ts';
export * from './linux/i2c-dev-file.ts';
export * from './linux/linux-i2c-host.ts';
export * from './simulated/at24c02.ts';
export * from './simulated/board.ts';
export * from './simulated/ds1338.ts';
export * from './simulated/i2c-chip.ts';
export * from './simulated/simulated-bus.ts';
export * from './simulated/slow-bus.ts';
export * from './simulated/tmp105.ts';
export * from './thread/serve-i2c-host.ts';
export * from './thread/thread-i2c-host.ts';
export type { TransferEvent, TransferEventMessage } from './transfer-event.ts';
