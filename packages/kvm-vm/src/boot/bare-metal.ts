import type { GuestMemory, GuestRange } from '@node-vmm/vm-memory';
import { guestAddress } from '@node-vmm/vm-memory';
import { hex } from '@node-vmm/vmm-sys-util';
import type { EntryState } from '../entry-state.ts';
import { KvmMachineError } from '../errors.ts';
import {
  HVM_MEMMAP_TABLE_ENTRY,
  HVM_START_INFO,
  PVH_START_INFO_VERSION,
  XEN_HVM_MEMMAP_TYPE_RAM,
  XEN_HVM_MEMMAP_TYPE_RESERVED,
  XEN_HVM_START_MAGIC_VALUE,
} from './pvh.ts';

/** Ours: where a bare-metal guest has what, as guest physical addresses, and the ports that it may use. */
export const BARE_METAL = {
  /** `struct hvm_start_info`, whose address is in EBX at the guest's first instruction. */
  START_INFO: 0x6000,
  /** `struct hvm_memmap_table_entry`, as many as the start info says. */
  MEMORY_MAP: 0x7000,
  /** The command line, NUL-terminated. */
  COMMAND_LINE: 0x2_0000,
  /** Bytes of the command line at most, the NUL included; Linux has as many (COMMAND_LINE_SIZE). */
  COMMAND_LINE_SIZE: 2048,
  /** Where a PC has its BIOS's data and memory for displays: no memory from here to {@link BARE_METAL.IMAGE}. */
  LOW_END: 0x9_fc00,
  /** The image, and its first instruction. */
  IMAGE: 0x10_0000,
  /** Port of the debug console, as QEMU and Bochs have it: each byte written is a character. */
  CONSOLE_PORT: 0xe9,
  /** Port that ends the machine: what is written, in 8 bits, is the guest's code; 0 is an orderly end. */
  EXIT_PORT: 0xf4,
} as const;

/** Ours: bytes of the window in which a virtio-mmio device is told of. */
const DEVICE_WINDOW = 0x200;

/** A virtio-mmio device, as a guest is told of it. */
export interface ToldMmioDevice {
  /** Guest physical address of its window. */
  readonly base: bigint;
  /** Input of the I/O APIC. */
  readonly irq: number;
}

/** A guest that needs no firmware. */
export interface BareMetalGuest {
  /** Raw machine code, entered at its first byte in 32-bit protected mode. */
  readonly image: Uint8Array;
  /** Words for the guest, in front of its devices; ASCII. Default: none. */
  readonly commandLine?: string;
  readonly devices?: readonly ToldMmioDevice[];
}

/** Linux's spelling of a virtio-mmio device on a command line: `virtio_mmio.device=512@0xd0000000:5`. */
export function tellDevice({ base, irq }: ToldMmioDevice): string {
  return `virtio_mmio.device=${DEVICE_WINDOW}@${hex(base)}:${irq}`;
}

/**
 * Puts a guest into memory, to be entered as the PVH ABI says.
 *
 * @param banks - where the guest has memory, the first one from 0
 * @returns how its first vCPU enters
 * @throws {KvmMachineError} BAD_IMAGE
 */
export function loadBareMetal(
  memory: GuestMemory,
  banks: readonly GuestRange[],
  guest: BareMetalGuest,
): EntryState {
  const { image, devices = [] } = guest;
  const room = Number(banks[0]?.length ?? 0) - BARE_METAL.IMAGE;
  if (image.length === 0 || image.length > room) {
    const text = `Cannot load an image of ${image.length} bytes: there is room for 1 to ${room}`;
    throw new KvmMachineError('BAD_IMAGE', text);
  }
  const words = [guest.commandLine ?? '', ...devices.map(tellDevice)].filter((word) => word !== '');
  const commandLine = encodeCommandLine(words.join(' '));
  const map = memoryMap(banks);
  const startInfo = HVM_START_INFO.encode({
    magic: XEN_HVM_START_MAGIC_VALUE,
    version: PVH_START_INFO_VERSION,
    cmdline_paddr: BigInt(BARE_METAL.COMMAND_LINE),
    memmap_paddr: BigInt(BARE_METAL.MEMORY_MAP),
    memmap_entries: map.length / HVM_MEMMAP_TABLE_ENTRY.SIZE,
  });
  memory.write(guestAddress(BARE_METAL.IMAGE), image);
  memory.write(guestAddress(BARE_METAL.COMMAND_LINE), commandLine);
  memory.write(guestAddress(BARE_METAL.MEMORY_MAP), map);
  memory.write(guestAddress(BARE_METAL.START_INFO), startInfo);
  return { mode: 'flat32', rip: BARE_METAL.IMAGE, rbx: BARE_METAL.START_INFO };
}

function encodeCommandLine(text: string): Uint8Array {
  // A NUL would cut it short without a word.
  if (!/^[\t\x20-\x7e]*$/.test(text)) {
    throw new KvmMachineError(
      'BAD_IMAGE',
      'Cannot pass a command line with characters that are no printable ASCII',
    );
  }
  if (text.length >= BARE_METAL.COMMAND_LINE_SIZE) {
    throw new KvmMachineError(
      'BAD_IMAGE',
      `Cannot pass a command line of ${text.length} characters: there is room for ${BARE_METAL.COMMAND_LINE_SIZE - 1}`,
    );
  }
  return new TextEncoder().encode(`${text}\0`);
}

function memoryMap(banks: readonly GuestRange[]): Uint8Array {
  const [first, ...others] = banks;
  const ram = XEN_HVM_MEMMAP_TYPE_RAM;
  const { LOW_END, IMAGE } = BARE_METAL;
  const entries = [
    { addr: 0n, size: BigInt(LOW_END), type: ram },
    { addr: BigInt(LOW_END), size: BigInt(IMAGE - LOW_END), type: XEN_HVM_MEMMAP_TYPE_RESERVED },
    { addr: BigInt(IMAGE), size: BigInt(first?.length ?? 0) - BigInt(IMAGE), type: ram },
    ...others.map(({ guestAddr, length }) => ({
      addr: guestAddr,
      size: BigInt(length),
      type: ram,
    })),
  ];
  const out = new Uint8Array(entries.length * HVM_MEMMAP_TABLE_ENTRY.SIZE);
  entries.forEach((entry, i) => {
    out.set(HVM_MEMMAP_TABLE_ENTRY.encode(entry), i * HVM_MEMMAP_TABLE_ENTRY.SIZE);
  });
  return out;
}
