import { type GuestRange, guestAddress } from '@node-vmm/vm-memory';
import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { KvmMachineError } from './errors.ts';

/**
 * Ours: where a machine of x86 has what. Numbers that others gave: I/O APIC and local APIC are where KVM makes
 * them (Linux arch/x86/include/asm/apicdef.h), and memory has its hole below 4 GiB as on every PC.
 */
export const PC_LAYOUT = {
  /** First address below 4 GiB that is no memory, however much there is. */
  HOLE: 0xc000_0000,
  /** Where memory goes on behind the hole. */
  HIGH: 0x1_0000_0000,
  /** Windows of devices that nobody chose an address for begin here, each at a page of its own. */
  DEVICES: 0xd000_0000,
  /** The first address behind those windows. */
  DEVICES_END: 0xe000_0000,
  /** I/O APIC. */
  IOAPIC: 0xfec0_0000,
  /** Local APIC of each vCPU. */
  LAPIC: 0xfee0_0000,
  /** A page and three more that KVM needs on Intel's processors. */
  IDENTITY_MAP: 0xfffb_c000,
  /** The three of them. */
  TSS: 0xfffb_d000,
  /** First interrupt that is no input of the I/O APIC: messages have the numbers from here on. */
  FIRST_MESSAGE: 24,
} as const;

/** Ours: the least memory that a guest can be loaded into, in bytes. */
export const MEMORY_MIN = 0x20_0000;
/** Ours: the most, in bytes. */
export const MEMORY_MAX = 0x100_0000_0000;

/** What is no place for devices, in memory and among ports: first and last. */
const RESERVED = {
  memory: [
    [PC_LAYOUT.IOAPIC, PC_LAYOUT.IOAPIC + 0xfff, 'the I/O APIC'],
    [PC_LAYOUT.LAPIC, PC_LAYOUT.LAPIC + 0xf_ffff, 'the local APICs'],
    [PC_LAYOUT.IDENTITY_MAP, PC_LAYOUT.TSS + 0x2fff, 'pages of KVM'],
  ],
  port: [
    [0x20, 0x21, 'the first PIC'],
    [0xa0, 0xa1, 'the second PIC'],
    [0x4d0, 0x4d1, 'the triggers of the PICs'],
  ],
} as const;

/** What has a place already where a window is to be: a name for messages, undefined when nothing has. */
export function reservedFor(
  space: 'memory' | 'port',
  base: bigint,
  length: number,
): string | undefined {
  const end = base + BigInt(length);
  return RESERVED[space].find(([first, last]) => base <= BigInt(last) && BigInt(first) < end)?.[2];
}

/**
 * Where a guest has so much memory.
 *
 * @param size - bytes
 * @throws {KvmMachineError} BAD_OPTION
 */
export function memoryBanks(size: number): GuestRange[] {
  if (!Number.isSafeInteger(size) || size % PAGE_SIZE !== 0 || size < MEMORY_MIN) {
    throw new KvmMachineError(
      'BAD_OPTION',
      `Cannot make a machine with ${size} bytes of memory: use whole pages of ${PAGE_SIZE}, and ${MEMORY_MIN >> 20} MiB at least`,
    );
  }
  if (size > MEMORY_MAX) {
    throw new KvmMachineError(
      'BAD_OPTION',
      `Cannot make a machine with ${size} bytes of memory: use ${MEMORY_MAX / 2 ** 40} TiB at most`,
    );
  }
  const low = Math.min(size, PC_LAYOUT.HOLE);
  const banks = [{ guestAddr: guestAddress(0n), length: low }];
  if (size > low) {
    banks.push({ guestAddr: guestAddress(BigInt(PC_LAYOUT.HIGH)), length: size - low });
  }
  return banks;
}
