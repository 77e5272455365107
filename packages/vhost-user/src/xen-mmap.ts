import {
  XEN_MMAP_FOREIGN,
  XEN_MMAP_GRANT,
  XEN_MMAP_NO_ADVANCE_MAP,
  XEN_MMAP_NO_ADVANCE_MAP_SPEC,
} from '@node-vmm/virtio-bindings';

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
