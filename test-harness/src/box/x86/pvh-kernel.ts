import { BoxError } from '../errors.ts';

const ELFCLASS64 = 2;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** What of a kernel goes where in a guest's memory. */
export interface KernelSegment {
  /** Physical address. */
  readonly address: number;
  readonly data: Uint8Array;
  /** Bytes from `address` on; those after `data` are zero. */
  readonly memorySize: number;
}

/** A kernel that is entered in 32-bit mode with a `hvm_start_info`. */
export interface PvhKernel {
  /** Physical address. */
  readonly entry: number;
  readonly segments: readonly KernelSegment[];
}

interface ProgramHeader {
  readonly type: number;
  readonly address: number;
  readonly data: Buffer;
  readonly memorySize: number;
}

function* programHeaders(elf: Buffer): Generator<ProgramHeader> {
  const start = Number(elf.readBigUInt64LE(32));
  const size = elf.readUInt16LE(54);
  const count = elf.readUInt16LE(56);
  for (let at = start; at < start + count * size; at += size) {
    const offset = Number(elf.readBigUInt64LE(at + 8));
    const fileSize = Number(elf.readBigUInt64LE(at + 32));
    yield {
      type: elf.readUInt32LE(at),
      address: Number(elf.readBigUInt64LE(at + 24)),
      data: elf.subarray(offset, offset + fileSize),
      memorySize: Number(elf.readBigUInt64LE(at + 40)),
    };
  }
}

const align = (size: number): number => (size + 3) & ~3;

/** The address in Xen's note of the PVH entry, when this segment has it. */
function entryNote(notes: Buffer): number | undefined {
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameSize = notes.readUInt32LE(at);
    const size = notes.readUInt32LE(at + 4);
    const value = at + 12 + align(nameSize);
    const name = notes.toString('latin1', at + 12, at + 12 + nameSize);
    // Linux writes it in 4 bytes or, as a pointer of the architecture, in 8.
    if (name === 'Xen\0' && notes.readUInt32LE(at + 8) === XEN_ELFNOTE_PHYS32_ENTRY) {
      return notes.readUInt32LE(value);
    }
    at = value + align(size);
  }
  return undefined;
}

/**
 * Reads a Linux `vmlinux`.
 *
 * @param elf - the whole file
 * @throws {BoxError} `BUILD_FAILED` when it is no x86_64 kernel that can be entered that way
 * @see Linux arch/x86/platform/pvh/head.S; Xen docs/misc/pvh.pandoc
 */
export function readPvhKernel(elf: Buffer): PvhKernel {
  const refuse = (why: string): BoxError =>
    new BoxError('BUILD_FAILED', `Cannot boot the kernel as PVH: ${why}`);
  const isElf = elf.length >= 64 && elf.readUInt32BE(0) === 0x7f454c46;
  if (!isElf || elf[4] !== ELFCLASS64 || elf.readUInt16LE(18) !== EM_X86_64) {
    throw refuse('it is no x86_64 ELF file; it has to be vmlinux');
  }
  const segments: KernelSegment[] = [];
  let entry: number | undefined;
  for (const { type, address, data, memorySize } of programHeaders(elf)) {
    if (type === PT_LOAD) segments.push({ address, data, memorySize });
    if (type === PT_NOTE) entry ??= entryNote(data);
  }
  if (entry === undefined) throw refuse('it has no PVH entry; it needs CONFIG_PVH');
  return { entry, segments };
}
