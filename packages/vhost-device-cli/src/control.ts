/**
 * Drives the devices of a daemon from outside, through its `--control-socket`.
 *
 * @packageDocumentation
 */
export * from './control/client.ts';
export * from './control/error.ts';
