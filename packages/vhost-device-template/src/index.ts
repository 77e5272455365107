/**
 * vhost-user template device daemon. The package is a program first (`vhost-device-template`); the
 * device can be served by another daemon as well.
 *
 * @packageDocumentation
 */
export * from './device.ts';
export * from './options.ts';
