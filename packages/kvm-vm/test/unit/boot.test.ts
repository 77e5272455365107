import {
  BARE_METAL,
  DebugConsole,
  HVM_MEMMAP_TABLE_ENTRY,
  HVM_START_INFO,
  loadBareMetal,
  MEMORY_MIN,
  memoryBanks,
  PC_LAYOUT,
  XEN_HVM_START_MAGIC_VALUE,
} from '@node-vmm/kvm-vm';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { afterEach, describe, expect, it } from 'vitest';

const banks = memoryBanks(MEMORY_MIN);
let memory = GuestMemoryMmap.create(banks);
afterEach(() => {
  memory[Symbol.dispose]();
  memory = GuestMemoryMmap.create(banks);
});

function at(address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  memory.read(guestAddress(address), bytes);
  return bytes;
}
const failure = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    return error;
  }
};

describe('a bare-metal guest in memory', () => {
  it('finds its image, start info, memory map and command line', () => {
    const image = Uint8Array.of(0xf4, 1, 2, 3);
    const devices = [
      { base: 0xd000_0000n, irq: 5 },
      { base: 0xd000_1000n, irq: 6 },
    ];
    const entry = loadBareMetal(memory, banks, { image, commandLine: 'a b', devices });
    expect(entry).toEqual({ mode: 'flat32', rip: 0x10_0000, rbx: BARE_METAL.START_INFO });
    expect(at(0x10_0000, 4)).toEqual(image);
    const info = HVM_START_INFO.decode(at(entry.rbx, HVM_START_INFO.SIZE));
    expect(info).toMatchObject({ magic: XEN_HVM_START_MAGIC_VALUE, version: 1, memmap_entries: 3 });
    const text = Buffer.from(at(Number(info.cmdline_paddr), 120)).toString('latin1');
    expect(text.split('\0')[0]).toBe(
      'a b virtio_mmio.device=512@0xd0000000:5 virtio_mmio.device=512@0xd0001000:6',
    );
    const entries = [0, 1, 2].map((i) => {
      const { SIZE } = HVM_MEMMAP_TABLE_ENTRY;
      return HVM_MEMMAP_TABLE_ENTRY.decode(at(Number(info.memmap_paddr) + i * SIZE, SIZE));
    });
    expect(entries.map(({ addr, size, type }) => [addr, size, type])).toEqual([
      [0n, 0x9_fc00n, 1],
      [0x9_fc00n, 0x6_0400n, 2],
      [0x10_0000n, 0x10_0000n, 1],
    ]);
  });

  it('is refused where image or command line do not fit', () => {
    const image = Uint8Array.of(0xf4);
    for (const guest of [
      { image: new Uint8Array(0) },
      { image: new Uint8Array(MEMORY_MIN - BARE_METAL.IMAGE + 1) },
      { image, commandLine: 'x'.repeat(BARE_METAL.COMMAND_LINE_SIZE) },
      { image, commandLine: 'a\0b' },
    ]) {
      expect(failure(() => loadBareMetal(memory, banks, guest))).toMatchObject({
        code: 'BAD_IMAGE',
      });
    }
  });

  it('has its memory around the hole below 4 GiB', () => {
    expect(memoryBanks(PC_LAYOUT.HOLE + 0x1000)).toEqual([
      { guestAddr: 0n, length: PC_LAYOUT.HOLE },
      { guestAddr: 0x1_0000_0000n, length: 0x1000 },
    ]);
    for (const size of [0, MEMORY_MIN - 0x1000, MEMORY_MIN + 1, Number.NaN, 2 ** 50]) {
      expect(failure(() => memoryBanks(size))).toMatchObject({ code: 'BAD_OPTION' });
    }
  });
});

describe('the debug console', () => {
  it('hands on whole lines, bounded, without what a terminal takes for a command', () => {
    const lines: string[] = [];
    const console = new DebugConsole((line) => lines.push(line));
    const say = (text: string): void => {
      for (const byte of Buffer.from(text, 'latin1')) console.write(0, 1, BigInt(byte));
    };
    say('one\r\n\n\x1b[2Jtwo\n');
    expect(lines.splice(0)).toEqual(['one', '', '?[2Jtwo']);
    say('x'.repeat(3000));
    expect(lines.splice(0).map((line) => line.length)).toEqual([1024, 1024]);
    console.flush();
    console.flush();
    expect(lines.map((line) => line.length)).toEqual([952]);
    expect(console.read()).toBe(0xe9n);
  });
});
