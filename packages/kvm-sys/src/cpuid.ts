import type { Values } from '@node-vmm/vmm-sys-util';
import { KVM_CPUID_ENTRY2, KVM_CPUID2 } from './abi/x86.ts';

/** What one leaf of CPUID answers. */
export type CpuidEntry = Values<typeof KVM_CPUID_ENTRY2.fields>;

/** A table for the kernel to fill. */
export function emptyCpuid(room: number): Uint8Array<ArrayBuffer> {
  const table = new Uint8Array(KVM_CPUID2.SIZE + room * KVM_CPUID_ENTRY2.SIZE);
  KVM_CPUID2.write(new DataView(table.buffer), 0, { nent: room });
  return table;
}

/** The entries of a table: no more than it has room for, whatever its head says. */
export function decodeCpuid(table: Uint8Array<ArrayBuffer>): CpuidEntry[] {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const room = Math.floor((table.length - KVM_CPUID2.SIZE) / KVM_CPUID_ENTRY2.SIZE);
  const count = Math.min(KVM_CPUID2.get(view, 0, 'nent'), room);
  return Array.from({ length: count }, (_, i) =>
    KVM_CPUID_ENTRY2.read(view, KVM_CPUID2.SIZE + i * KVM_CPUID_ENTRY2.SIZE),
  );
}

/** `struct kvm_cpuid2` with these entries. */
export function encodeCpuid(entries: readonly CpuidEntry[]): Uint8Array<ArrayBuffer> {
  const table = emptyCpuid(entries.length);
  const view = new DataView(table.buffer);
  for (const [i, entry] of entries.entries()) {
    KVM_CPUID_ENTRY2.write(view, KVM_CPUID2.SIZE + i * KVM_CPUID_ENTRY2.SIZE, entry);
  }
  return table;
}
