import type { Values } from '@node-vmm/vmm-sys-util';
import { KVM_DTABLE, KVM_SEGMENT, KVM_SREGS } from './abi/x86.ts';

/** A segment register with what the processor has cached of its descriptor. */
export type KvmSegment = Values<typeof KVM_SEGMENT.fields>;
/** Place of a descriptor table. */
export type KvmDtable = Values<typeof KVM_DTABLE.fields>;

const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'] as const;
const DTABLES = ['gdt', 'idt'] as const;
type Segments = (typeof SEGMENTS)[number];
type Dtables = (typeof DTABLES)[number];

/** x86: segments, descriptor tables and control registers of a vCPU. */
export type KvmSregs = Omit<Values<typeof KVM_SREGS.fields>, Segments | Dtables> &
  Record<Segments, KvmSegment> &
  Record<Dtables, KvmDtable>;

/** Decodes `struct kvm_sregs`. */
export function decodeSregs(source: Uint8Array): KvmSregs {
  const flat = KVM_SREGS.decode(source);
  const { cs, ds, es, fs, gs, ss, tr, ldt, gdt, idt, ...rest } = flat;
  const segment = (bytes: Uint8Array): KvmSegment => KVM_SEGMENT.decode(bytes);
  return {
    ...rest,
    cs: segment(cs),
    ds: segment(ds),
    es: segment(es),
    fs: segment(fs),
    gs: segment(gs),
    ss: segment(ss),
    tr: segment(tr),
    ldt: segment(ldt),
    gdt: KVM_DTABLE.decode(gdt),
    idt: KVM_DTABLE.decode(idt),
  };
}

/** Encodes `struct kvm_sregs`. */
export function encodeSregs(sregs: KvmSregs): Uint8Array<ArrayBuffer> {
  const { cs, ds, es, fs, gs, ss, tr, ldt, gdt, idt, ...rest } = sregs;
  const segments = { cs, ds, es, fs, gs, ss, tr, ldt };
  const out = KVM_SREGS.encode(rest);
  const view = new DataView(out.buffer);
  for (const name of SEGMENTS) {
    KVM_SREGS.set(view, 0, name, KVM_SEGMENT.encode(segments[name]));
  }
  for (const [name, table] of [
    ['gdt', gdt],
    ['idt', idt],
  ] as const) {
    KVM_SREGS.set(view, 0, name, KVM_DTABLE.encode(table));
  }
  return out;
}
