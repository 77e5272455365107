/**
 * vhost-user GPIO device daemon: GPIO lines of Linux or simulated ones for any vhost-user front-end.
 * VIRTIO 1.3 §5.18.
 *
 * The package is a program first (`vhost-device-gpio`); what it is made of can be used by itself: the
 * device in another daemon, or a host of lines without any guest.
 *
 * @packageDocumentation
 */
export { VIRTIO_ID_GPIO } from '@node-vmm/virtio-bindings/device-types';
export * from '@node-vmm/virtio-bindings/gpio';
export * from './backend.ts';
export * from './commands.ts';
export * from './counters.ts';
export { createDevice, type GpioDeviceOptions, type GpioHostOptions } from './device.ts';
export * from './device-list.ts';
export * from './errors.ts';
export * from './gpio-host.ts';
export * from './interrupts.ts';
export * from './line-names.ts';
export * from './line-states.ts';
export * from './linux/chips.ts';
export * from './linux/gpio.ts';
export * from './linux/gpio-chip-file.ts';
export * from './linux/gpio-lines.ts';
export * from './linux/line-messages.ts';
export * from './linux/linux-gpio-host.ts';
export * from './linux/serve-gpio-lines.ts';
export * from './linux-gpio.ts';
export * from './simulated/simulated-gpio-host.ts';
export * from './words.ts';
