/**
 * The driver side of a split virtqueue, for tests, demonstrations and benchmarks.
 *
 * @packageDocumentation
 */
export * from './mock-driver.ts';
export type { RawDescriptor, RawRing } from './raw-ring.ts';
