import { addressSpaceCases } from './address-space-cases.ts';
import { closingCases } from './closing-cases.ts';
import type { VmComplianceCase } from './compliance-case.ts';
import { interruptCases } from './interrupt-cases.ts';
import { ioeventfdCases } from './ioeventfd-cases.ts';
import { windowCases } from './window-cases.ts';

/**
 * What every `Vm` does, as data: run each case with any test runner, on a machine of its own that is
 * closed afterwards.
 */
export const vmComplianceCases: readonly VmComplianceCase[] = [
  ...windowCases,
  ...addressSpaceCases,
  ...ioeventfdCases,
  ...interruptCases,
  ...closingCases,
];
