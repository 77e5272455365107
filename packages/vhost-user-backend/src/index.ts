/**
 * Framework for vhost-user device daemons: write one class, never see sockets, threads or rings.
 *
 * @packageDocumentation
 */
export * from './device.ts';
