import { GuestMemoryMmap, GuestMemoryView, guestAddress, mappingsOf } from '@node-vmm/vm-memory';
import { describe, expect, it } from 'vitest';

describe('GuestMemoryView', () => {
  it('attaches to what mappingsOf says, sent to another thread', () => {
    using memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0x1000), length: 0x1000 }]);
    const mappings = structuredClone(mappingsOf(memory));
    expect(mappings).toEqual([
      { guestAddr: 0x1000n, length: 0x1000, hostAddress: memory.regions[0]?.hostAddress },
    ]);
    using view = GuestMemoryView.attach(mappings);
    view.writeU8(guestAddress(0x1005), 42);
    expect(memory.readU8(guestAddress(0x1005))).toBe(42);
  });

  it('leaves the memory mapped when closed', () => {
    using memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0x1000), length: 0x1000 }]);
    GuestMemoryView.attach(mappingsOf(memory)).close();
    memory.writeU8(guestAddress(0x1000), 1);
    expect(memory.readU8(guestAddress(0x1000))).toBe(1);
  });
});
