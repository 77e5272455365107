/**
 * Holds the connection of a vhost-user front-end, such as QEMU's, while the process that serves it dies and
 * comes back.
 *
 * @packageDocumentation
 */
export * from './errors.ts';
export * from './serving-side.ts';
export * from './supervisor.ts';
