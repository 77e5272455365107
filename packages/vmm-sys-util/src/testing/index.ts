/**
 * What the compliance suites of all packages have in common. Loads nothing.
 *
 * @packageDocumentation
 */
export type { ComplianceCase } from './compliance-case.ts';
