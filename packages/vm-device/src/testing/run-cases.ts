import { vmComplianceCases } from './compliance.ts';
import type { VmComplianceContext } from './compliance-case.ts';

/** A machine for one case of the suite. */
export interface VmUnderTest extends VmComplianceContext {
  /** After a case that went well, when the vm is closed: nothing of it is left. @throws when something is */
  checkReleased?(): Promise<void> | void;
  /** Releases what was made besides the vm; called last. */
  close(): Promise<void> | void;
}

/**
 * Runs the suite with any test runner, on a fresh machine for each case, which is closed afterwards.
 *
 * @param it - defines a test, as the runner has it
 * @param create - makes a machine
 */
export function runVmCases(
  it: (name: string, run: () => Promise<void>) => void,
  create: () => Promise<VmUnderTest> | VmUnderTest,
): void {
  for (const rule of vmComplianceCases) {
    it(`${rule.section}: ${rule.name}`, async () => {
      const subject = await create();
      try {
        try {
          await rule.run(subject);
        } finally {
          subject.vm.close();
        }
        await subject.checkReleased?.();
      } finally {
        await subject.close();
      }
    });
  }
}
