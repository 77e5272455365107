/**
 * Framework for vhost-user device daemons: write one class, never see sockets, threads or rings.
 *
 * @packageDocumentation
 */
export * from './control/daemon.ts';
export type { ForeignPages } from './control/foreign-chunk.ts';
export type { ForeignRange, MapForeign } from './control/foreign-region.ts';
export type { ServedDevice } from './control/served-device.ts';
export * from './device.ts';
export * from './device-module.ts';
export type * from './device-spec.ts';
export * from './errors.ts';
export type * from './host-thread.ts';
export type * from './status.ts';
