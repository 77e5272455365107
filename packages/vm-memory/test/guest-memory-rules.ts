import type { GuestMemory, GuestRange } from '@node-vmm/vm-memory';
import { COMPLIANCE_LAYOUT, guestMemoryComplianceCases } from '@node-vmm/vm-memory/testing';
import { describe, it } from 'vitest';

/** Runs the suite: `create` makes a fresh memory with the given layout, zeroed. */
export function testGuestMemory(
  name: string,
  create: (layout: readonly GuestRange[]) => GuestMemory,
): void {
  describe(`${name} keeps the rules of GuestMemory`, () => {
    it.each([...guestMemoryComplianceCases])('$section: $name', ({ run }) => {
      using memory = create(COMPLIANCE_LAYOUT);
      run(memory);
    });
  });
}
