/** `xen_mmap_flags`: the file is mapped as any file is. */
export const XEN_MMAP_UNIX = 0x0;
/** Bit 0: foreign mapping through privcmd. */
export const XEN_MMAP_FOREIGN = 0x1;
/** Bit 1: grant mapping through gntdev. */
export const XEN_MMAP_GRANT = 0x2;
/** Map on demand, piece by piece: the value that the only implementation, vm-memory, has. */
export const XEN_MMAP_NO_ADVANCE_MAP = 0x8;
/** The same as the specification numbers it ("Bit 8"). Accepted, never sent. */
export const XEN_MMAP_NO_ADVANCE_MAP_SPEC = 0x100;

const NO_ADVANCE = XEN_MMAP_NO_ADVANCE_MAP | XEN_MMAP_NO_ADVANCE_MAP_SPEC;
const KNOWN = XEN_MMAP_FOREIGN | XEN_MMAP_GRANT | NO_ADVANCE;

/** What a region's flags exclude, or undefined when they are valid. */
export function checkXenMmapFlags(flags: number): string | undefined {
  if ((flags & ~KNOWN) !== 0) return 'unknown Xen mapping flags';
  const foreign = (flags & XEN_MMAP_FOREIGN) !== 0;
  const grant = (flags & XEN_MMAP_GRANT) !== 0;
  if (foreign && grant) return 'both foreign and grant mapping';
  if ((flags & NO_ADVANCE) !== 0 && !grant) return 'no advance mapping without grants';
  return undefined;
}

/** True when the region must be mapped piece by piece. */
export function isNoAdvanceMap(flags: number): boolean {
  return (flags & NO_ADVANCE) !== 0;
}
