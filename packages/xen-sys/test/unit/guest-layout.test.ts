import { GUEST_LAYOUTS, type LayoutRange, XEN_PAGE_SIZE } from '@node-vmm/xen-sys';
import { describe, expect, it } from 'vitest';

const overlap = (a: LayoutRange, b: LayoutRange): boolean =>
  a.base < b.base + b.size && b.base < a.base + a.size;

describe.each(['arm64', 'x86_64'] as const)('the layout of %s guests', (arch) => {
  const { ram, reserved } = GUEST_LAYOUTS[arch];

  it('has whole pages everywhere', () => {
    for (const { base, size } of [...ram, ...reserved]) {
      expect(size > 0n).toBe(true);
      expect((base | size) % BigInt(XEN_PAGE_SIZE)).toBe(0n);
    }
  });

  it('looks for no RAM where something else is, but for the first megabyte of a PC', () => {
    const found = ram.flatMap((bank) => reserved.filter((other) => overlap(bank, other)));
    const names = new Set(found.map(({ what }) => what));
    expect([...names]).toEqual(arch === 'arm64' ? [] : ['low memory with VGA and BIOS']);
  });
});

describe('HVM guests', () => {
  const { ram, reserved } = GUEST_LAYOUTS.x86_64;
  const holds = (ranges: readonly LayoutRange[], address: bigint): boolean =>
    ranges.some(({ base, size }) => address >= base && address < base + size);

  it.each([
    ['VGA', 0xa_0000n],
    ['the start of the MMIO hole', 0xf000_0000n],
    ['a page for IOREQ servers', 0xfeff_0000n],
    ['the page of the xenstore', 0xfeff_c000n],
    ['the last special page', 0xfeff_f000n],
  ])('have no RAM at %s', (_what, address) => {
    expect(holds(ram, address)).toBe(false);
  });

  it.each([0xfec0_0000n, 0xfee0_0000n, 0xfeff_0000n, 0xfeff_f000n, 0xffff_f000n])(
    'have no place for a device at %i',
    (address) => {
      expect(holds(reserved, address)).toBe(true);
    },
  );

  it('have one in the hole below', () => {
    expect(holds(reserved, 0xe000_0000n)).toBe(false);
    expect(holds(reserved, 0xf000_0000n)).toBe(false);
  });
});
