/**
 * Threads that serve the register accesses of virtual machines, several guests to a thread, whatever the
 * main thread does meanwhile.
 *
 * @packageDocumentation
 */
export * from './dispatch-pool.ts';
export * from './dispatch-thread.ts';
export { DispatchedDevice, type DispatchedDeviceOptions } from './dispatched-device.ts';
