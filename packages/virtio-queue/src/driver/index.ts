/**
 * The driver side of a split virtqueue, for simulated guests, tests and benchmarks.
 *
 * @packageDocumentation
 */
export type { RawDescriptor, RawRing } from './raw-ring.ts';
export * from './split-driver-queue.ts';
export type * from './virtqueue-driver.ts';
