import { type MemoryRegion, XEN_MMAP_FOREIGN } from '@node-vmm/vhost-user';

/** However little there is to map, milliseconds: a back-end may be busy with what it does first. */
const LEAST_MS = 60_000;
/** Back-ends that map a Xen guest page by page, on a slow host, milliseconds. */
const FOREIGN_MS_PER_GIB = 60_000;

/** How long a back-end may take to map memory, by what there is to do, milliseconds. */
export function mappingTime(regions: readonly MemoryRegion[]): number {
  const foreign = regions.filter(({ xen }) => ((xen?.mmapFlags ?? 0) & XEN_MMAP_FOREIGN) !== 0);
  const bytes = foreign.reduce((sum, { size }) => sum + Number(size), 0);
  return LEAST_MS + Math.ceil(bytes / 2 ** 30) * FOREIGN_MS_PER_GIB;
}
