/**
 * What the tests of all packages have in common: the shape of compliance suites, and a logger that
 * remembers. Loads no native code.
 *
 * @packageDocumentation
 */
export type { ComplianceCase } from './compliance-case.ts';
export * from './memory-logger.ts';
