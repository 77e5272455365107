/**
 * vhost-user entropy device daemon. The package is a program first (`vhost-device-rng`); the device can
 * be served by another daemon as well, and have another source.
 *
 * @packageDocumentation
 */
export * from './byte-quota.ts';
export * from './device.ts';
export * from './entropy-source.ts';
export * from './errors.ts';
export * from './kernel-source.ts';
export * from './limits.ts';
export * from './open-source.ts';
export * from './options.ts';
export * from './rng-device.ts';
export type * from './source-thread.ts';
export * from './thread-source.ts';
