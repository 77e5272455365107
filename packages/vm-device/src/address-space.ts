import { hex } from '@node-vmm/vmm-sys-util';

/**
 * An address space of a machine in which devices have registers: guest physical memory, I/O ports,
 * or the configuration space of PCI. A machine need not have all of them.
 */
export type AddressSpace = 'memory' | 'port' | 'pci-config';

/** A window of an address space. */
export interface AddressRange {
  readonly space: AddressSpace;
  /**
   * Guest physical address, or port. In PCI configuration space, where a function has its registers
   * by ECAM: segment << 28 | bus << 20 | device << 15 | function << 12.
   */
  readonly base: bigint;
  /** Bytes. */
  readonly length: number;
}

/** What differs between address spaces. */
interface SpaceShape {
  /** No window ends above it. Addresses are numbers, so what is not exact is not there. */
  readonly end: number;
  /** Widest access, in bytes. */
  readonly widest: number;
  /** For messages. */
  readonly window: string;
  readonly register: string;
  readonly whole: string;
}

export const SPACES: Readonly<Record<AddressSpace, SpaceShape>> = {
  memory: {
    end: Number.MAX_SAFE_INTEGER,
    widest: 8,
    window: 'an MMIO window',
    register: 'the register at',
    whole: 'memory',
  },
  port: {
    end: 0x1_0000,
    widest: 4,
    window: 'a window of I/O ports',
    register: 'port',
    whole: 'I/O ports',
  },
  // Segments have 16 bits.
  'pci-config': {
    end: 2 ** 44,
    widest: 4,
    window: 'a PCI configuration window',
    register: 'the configuration register at',
    whole: 'PCI configuration space',
  },
};

/** For messages: `an MMIO window of 512 bytes at 0x2000000`. */
export function describeRange({ space, base, length }: AddressRange): string {
  return `${SPACES[space].window} of ${length} bytes at ${hex(base)}`;
}
