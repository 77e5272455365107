/**
 * What the main of every vhost-user daemon needs: signals, status, exit codes, a logger that never
 * stops service, and a daemon's socket options.
 *
 * Importing it loads next to nothing: a program's entry does so to have its signals at once.
 *
 * @packageDocumentation
 */
export type { Controlled } from './control/controlled.ts';
export type { OpenControl } from './control/open.ts';
export type { ControlRequest } from './control/request.ts';
export * from './create-logger.ts';
export type * from './daemon-options.ts';
export * from './errors.ts';
export * from './exit-codes.ts';
export * from './log-levels.ts';
export * from './open-control-socket.ts';
export * from './open-metrics.ts';
export * from './open-service-manager.ts';
export * from './open-status-socket.ts';
export * from './program.ts';
export type { LoggerOptions, ProgramLogger } from './program-logger.ts';
export * from './run-daemon.ts';
export { type DaemonDevice, type DevicesSpec, runDevices } from './run-devices.ts';
export * from './run-program.ts';
export type { NotifyOptions } from './service-environment.ts';
export type { ServiceManager } from './service-manager.ts';
export * from './signals.ts';
export type { StatusPlace } from './status/open-status-socket.ts';
