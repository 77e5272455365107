/**
 * The vhost-user protocol for both sides: every request of the specification as a table, a codec
 * that follows from it, and a connection that carries messages with their file descriptors.
 *
 * @packageDocumentation
 */
export * from '@node-vmm/virtio-bindings/xen-mmap';
export * from './backend-requests.ts';
export * from './connection.ts';
export * from './errors.ts';
export * from './features.ts';
export * from './frontend-requests.ts';
export * from './header.ts';
export * from './message-codec.ts';
export * from './message-table.ts';
export * from './message-types.ts';
export type * from './payload-values.ts';
export { type PrintableMessage, printMessage } from './print.ts';
export * from './structs.ts';
export * from './xen-mmap.ts';
