import {
  type VmComplianceCase,
  type VmComplianceContext,
  vmComplianceCases,
} from '@node-vmm/vm-device/testing';
import { describe, it } from 'vitest';

/** A machine for one case of the suite. */
export interface VmUnderTest extends VmComplianceContext {
  /** Releases what was made besides the vm; called when that is closed. */
  close(): void;
}

/** Runs the suite on machines of one kind, a fresh one for each case. */
export function runVmCompliance(title: string, create: () => VmUnderTest): void {
  describe(title, () => {
    it.each<VmComplianceCase>(vmComplianceCases)('$section: $name', async (rule) => {
      const subject = create();
      try {
        await rule.run(subject);
      } finally {
        subject.vm.close();
        subject.close();
      }
    });
  });
}
