/**
 * The suite that every `Vm` passes.
 *
 * @packageDocumentation
 */
export * from './compliance.ts';
export type {
  AccessPlace,
  GuestAbility,
  GuestUnderTest,
  VmComplianceCase,
  VmComplianceContext,
} from './compliance-case.ts';
export * from './run-cases.ts';
