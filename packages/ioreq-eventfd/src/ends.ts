/**
 * The ends of guests by which another thread serves them: what an `AccessHost` opens there.
 *
 * @packageDocumentation
 */
export type { EventfdEndsData } from './eventfd-ends.ts';
export type * from './guest-ends.ts';
export * from './open-ends.ts';
export { type OpenXenDevice, openXenEnds, type XenEndsData } from './xen-ends.ts';
