/**
 * Framework for vhost-user device daemons: write one class, never see sockets, threads or rings.
 *
 * @packageDocumentation
 */
export * from './daemon.ts';
export * from './device.ts';
export * from './device-module.ts';
export type * from './device-spec.ts';
export * from './errors.ts';
export type * from './host-thread.ts';
export type { RestartOptions } from './restart-schedule.ts';
export type { ServedDevice } from './served-device.ts';
export type * from './status.ts';
export type { RingCounters } from './worker-protocol.ts';
