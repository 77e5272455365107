import { GuestMemoryMmap, GuestMemoryView, mappingsOf } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer, LoanLedger, TardyMemory } from '@node-vmm/vm-memory/testing';
import { testGuestMemory } from '../guest-memory-rules.ts';

testGuestMemory('GuestMemoryBuffer', (layout) => GuestMemoryBuffer.create(layout));
testGuestMemory('GuestMemoryMmap', (layout) => GuestMemoryMmap.create(layout));
testGuestMemory('GuestMemoryView', (layout) => {
  const owner = GuestMemoryMmap.create(layout);
  const view = GuestMemoryView.attach(mappingsOf(owner));
  return Object.assign(view, { owner });
});
testGuestMemory('LoanLedger', (layout) => new LoanLedger(GuestMemoryBuffer.create(layout)));
testGuestMemory('TardyMemory', (layout) => new TardyMemory(GuestMemoryBuffer.create(layout)));
