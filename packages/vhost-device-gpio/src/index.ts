/**
 * vhost-user gpio device daemon. The package is a program first (`vhost-device-gpio`); the
 * device can be served by another daemon as well.
 *
 * @packageDocumentation
 */
export * from './device.ts';
export * from './errors.ts';
export * from './gpio-host.ts';
export * from './linux/chips.ts';
export * from './linux/gpio.ts';
export * from './linux/gpio-chip-file.ts';
export * from './linux/gpio-lines.ts';
export * from './linux/line-messages.ts';
export * from './linux/linux-gpio-host.ts';
export * from './linux/serve-gpio-lines.ts';
export * from './linux-gpio.ts';
export * from './options.ts';
