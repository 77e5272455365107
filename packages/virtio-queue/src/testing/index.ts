/**
 * The suite that every layout of `Virtqueue` passes.
 *
 * @packageDocumentation
 */
export * from './compliance.ts';
export * from './split-subject.ts';
export * from './virtqueue-subject.ts';
