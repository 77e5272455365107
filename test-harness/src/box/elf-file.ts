import { readFileSync } from 'node:fs';
import type { Architecture } from './architecture.ts';

/** What an ELF file says of itself. */
export interface ElfFile {
  /** Undefined for a machine that no bed has. */
  readonly architecture: Architecture | undefined;
  /** Libraries that it asks the loader for, by their names. */
  readonly needed: readonly string[];
}

/** System V ABI, "ELF Header" and "Dynamic Section": offsets and values for 64-bit files, little-endian. */
const ELF = {
  MAGIC: 0x7f454c46,
  /** EI_CLASS: ELFCLASS64, then EI_DATA: ELFDATA2LSB. */
  CLASS_AND_DATA: 0x0201,
  IDENT_CLASS: 4,
  MACHINE: 18,
  PROGRAM_HEADERS: 32,
  PROGRAM_HEADER_SIZE: 54,
  PROGRAM_HEADER_COUNT: 56,
  HEADER_SIZE: 64,
  PT_LOAD: 1,
  PT_DYNAMIC: 2,
  DT_NULL: 0,
  DT_NEEDED: 1,
  DT_STRTAB: 5,
} as const;

/** ELF's `e_machine`: EM_X86_64, EM_AARCH64. */
const MACHINES: Readonly<Record<number, Architecture>> = { 62: 'x86_64', 183: 'arm64' };

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/** Numbers of a file that is somebody else's: what lies outside of it is 0. */
class Bytes {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u16(at: number): number {
    return at + 2 <= this.#bytes.length ? this.#bytes.readUInt16LE(at) : 0;
  }

  u32(at: number): number {
    return at + 4 <= this.#bytes.length ? this.#bytes.readUInt32LE(at) : 0;
  }

  u64(at: number): number {
    return at + 8 <= this.#bytes.length ? Number(this.#bytes.readBigUInt64LE(at)) : 0;
  }

  text(at: number): string {
    const end = this.#bytes.indexOf(0, at);
    return this.#bytes.toString('latin1', at, end < 0 ? at : end);
  }
}

function segmentsOf(bytes: Bytes): Segment[] {
  const from = bytes.u64(ELF.PROGRAM_HEADERS);
  const size = bytes.u16(ELF.PROGRAM_HEADER_SIZE);
  return Array.from({ length: bytes.u16(ELF.PROGRAM_HEADER_COUNT) }, (_, index) => {
    const at = from + index * size;
    return {
      type: bytes.u32(at),
      offset: bytes.u64(at + 8),
      address: bytes.u64(at + 16),
      size: bytes.u64(at + 32),
    };
  });
}

function neededOf(bytes: Bytes): string[] {
  const segments = segmentsOf(bytes);
  const dynamic = segments.find(({ type }) => type === ELF.PT_DYNAMIC);
  if (dynamic === undefined) return [];
  const names: number[] = [];
  let strings = 0;
  const end = dynamic.offset + dynamic.size;
  for (let at = dynamic.offset; at < end; at += 16) {
    const [tag, value] = [bytes.u64(at), bytes.u64(at + 8)];
    // Also what is behind the end of a file that was cut short.
    if (tag === ELF.DT_NULL) break;
    if (tag === ELF.DT_NEEDED) names.push(value);
    if (tag === ELF.DT_STRTAB) strings = value;
  }
  const home = segments.find(
    ({ type, address, size }) =>
      type === ELF.PT_LOAD && strings >= address && strings < address + size,
  );
  if (home === undefined) return [];
  return names.map((name) => bytes.text(strings - home.address + home.offset + name));
}

/** Reads an ELF file of 64 bits, undefined for anything else. Follows links. */
export function readElf(path: string): ElfFile | undefined {
  const buffer = readFileSync(path);
  if (buffer.length < ELF.HEADER_SIZE || buffer.readUInt32BE(0) !== ELF.MAGIC) return undefined;
  if (buffer.readUInt16BE(ELF.IDENT_CLASS) !== ELF.CLASS_AND_DATA) return undefined;
  const bytes = new Bytes(buffer);
  return { architecture: MACHINES[bytes.u16(ELF.MACHINE)], needed: neededOf(bytes) };
}
