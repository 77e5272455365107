/**
 * What the tests of all packages have in common: the shape of compliance suites, a logger that
 * remembers, a stream that lacks descriptors, a process that is stopped, and calls that change what is mapped,
 * recorded. Loads no native code before such calls are to be recorded.
 *
 * @packageDocumentation
 */
export type { ComplianceCase } from './compliance-case.ts';
export * from './memory-logger.ts';
export * from './recorded-mappings.ts';
export * from './stop-process.ts';
export * from './without-room.ts';
