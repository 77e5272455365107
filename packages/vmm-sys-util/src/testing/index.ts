/**
 * What the tests of all packages have in common: the shape of compliance suites, a logger that
 * remembers, and a stream that lacks descriptors. Loads no native code.
 *
 * @packageDocumentation
 */
export type { ComplianceCase } from './compliance-case.ts';
export * from './memory-logger.ts';
export * from './without-room.ts';
