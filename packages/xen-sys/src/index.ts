/**
 * Xen hypercalls from Node.js through /dev/xen/privcmd, without the C Xen libraries.
 *
 * @packageDocumentation
 */
export * from './device.ts';
export * from './errors.ts';
export * from './foreign-memory.ts';
export * from './ids.ts';
