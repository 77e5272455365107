import { GuestMemoryMmap, GuestMemoryView, mappingsOf } from '@node-vmm/vm-memory';
import { describeGuestMemory, GuestMemoryBuffer, LoanLedger } from '@node-vmm/vm-memory/testing';
import { describe, expect, it } from 'vitest';

const vitest = { describe, it, expect };

describeGuestMemory('GuestMemoryBuffer', GuestMemoryBuffer.create, vitest);
describeGuestMemory('GuestMemoryMmap', (layout) => GuestMemoryMmap.create(layout), vitest);
describeGuestMemory(
  'GuestMemoryView',
  (layout) => {
    const owner = GuestMemoryMmap.create(layout);
    const view = GuestMemoryView.attach(mappingsOf(owner));
    return Object.assign(view, { owner });
  },
  vitest,
);
describeGuestMemory(
  'LoanLedger',
  (layout) => new LoanLedger(GuestMemoryBuffer.create(layout)),
  vitest,
);
