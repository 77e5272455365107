/**
 * vhost-user gpio device daemon. The package is a program first (`vhost-device-gpio`); the
 * device can be served by another daemon as well.
 *
 * @packageDocumentation
 */
export * from './device.ts';
export * from './options.ts';
