import { VHOST_USER_MAX_MEM_REGIONS } from './header.ts';
import { checkSpan, checkUint, firstOf, type PayloadCodec, viewOfBytes } from './payload-codec.ts';
import type { CodecOptions, MemoryRegion } from './payload-values.ts';
import {
  VHOST_USER_MEMORY,
  VHOST_USER_MEMORY_REGION,
  VHOST_USER_MEMORY_REGION_XEN,
} from './structs.ts';
import { checkXenMmapFlags } from './xen-mmap.ts';

/** Padding in front of the region of ADD_MEM_REG and REM_MEM_REG. */
const SINGLE_REGION_PADDING = 8;

const regionSize = (xen: boolean): number =>
  xen ? VHOST_USER_MEMORY_REGION_XEN.SIZE : VHOST_USER_MEMORY_REGION.SIZE;

function readRegion(view: DataView, at: number, xen: boolean): MemoryRegion {
  const wire = VHOST_USER_MEMORY_REGION.read(view, at);
  const region = {
    guestAddr: wire.guest_phys_addr,
    size: wire.memory_size,
    userAddr: wire.userspace_addr,
    mmapOffset: wire.mmap_offset,
  };
  if (!xen) return region;
  return {
    ...region,
    xen: {
      mmapFlags: VHOST_USER_MEMORY_REGION_XEN.get(view, at, 'xen_mmap_flags'),
      domid: VHOST_USER_MEMORY_REGION_XEN.get(view, at, 'xen_mmap_data'),
    },
  };
}

function writeRegion(view: DataView, at: number, region: MemoryRegion): void {
  VHOST_USER_MEMORY_REGION.write(view, at, {
    guest_phys_addr: region.guestAddr,
    memory_size: region.size,
    userspace_addr: region.userAddr,
    mmap_offset: region.mmapOffset,
  });
  if (region.xen === undefined) return;
  VHOST_USER_MEMORY_REGION_XEN.write(view, at, {
    xen_mmap_flags: region.xen.mmapFlags,
    xen_mmap_data: region.xen.domid,
  });
}

function checkRegion(region: MemoryRegion): string | undefined {
  if (region.size === 0n) return 'memory region of size 0';
  return firstOf(
    checkSpan('guest address', region.guestAddr, region.size),
    checkSpan('user address', region.userAddr, region.size),
    checkSpan('mmap offset', region.mmapOffset, region.size),
    region.xen && checkXenMmapFlags(region.xen.mmapFlags),
    region.xen && checkUint('domid', region.xen.domid, 32),
  );
}

function checkSentRegion(region: MemoryRegion, { xenMmap }: CodecOptions): string | undefined {
  if ((region.xen !== undefined) === xenMmap) return undefined;
  return xenMmap
    ? 'memory region without Xen fields although XEN_MMAP was negotiated'
    : 'memory region with Xen fields although XEN_MMAP was not negotiated';
}

/** Multiple memory regions description. Both layouts are read: size and count tell them apart. */
export const MEMORY_PAYLOAD: PayloadCodec<readonly MemoryRegion[]> = {
  size: () => [
    VHOST_USER_MEMORY.SIZE,
    VHOST_USER_MEMORY.SIZE + VHOST_USER_MAX_MEM_REGIONS * regionSize(true),
  ],
  decode: (source) => {
    const view = viewOfBytes(source);
    const { nregions } = VHOST_USER_MEMORY.read(view);
    const [plain, withXen] = [false, true].map(
      (xen) => VHOST_USER_MEMORY.SIZE + nregions * regionSize(xen),
    );
    const xen = source.length === withXen && nregions > 0;
    if (!xen && source.length !== plain) {
      return `${nregions} regions need ${plain} bytes, or ${withXen} with Xen fields`;
    }
    return Array.from({ length: nregions }, (_, i) =>
      readRegion(view, VHOST_USER_MEMORY.SIZE + i * regionSize(xen), xen),
    );
  },
  encode: (regions, { xenMmap }) => {
    const size = VHOST_USER_MEMORY.SIZE + regions.length * regionSize(xenMmap);
    const view = new DataView(new ArrayBuffer(size));
    VHOST_USER_MEMORY.write(view, 0, { nregions: regions.length });
    regions.forEach((region, i) => {
      writeRegion(view, VHOST_USER_MEMORY.SIZE + i * regionSize(xenMmap), region);
    });
    return new Uint8Array(view.buffer);
  },
  check: (regions) =>
    regions.length > VHOST_USER_MAX_MEM_REGIONS
      ? `${regions.length} memory regions, at most ${VHOST_USER_MAX_MEM_REGIONS}`
      : firstOf(...regions.map(checkRegion)),
  checkSent: (regions, options) =>
    firstOf(...regions.map((region) => checkSentRegion(region, options))),
};

/** Single memory region description, in either layout. */
export const MEMORY_REGION_PAYLOAD: PayloadCodec<MemoryRegion> = {
  size: () => [SINGLE_REGION_PADDING + regionSize(false), SINGLE_REGION_PADDING + regionSize(true)],
  decode: (source) => {
    const size = source.length - SINGLE_REGION_PADDING;
    const xen = size === regionSize(true);
    if (!xen && size !== regionSize(false)) {
      return `a region needs ${regionSize(false)} bytes, or ${regionSize(true)} with Xen fields`;
    }
    return readRegion(viewOfBytes(source), SINGLE_REGION_PADDING, xen);
  },
  encode: (region, { xenMmap }) => {
    const view = new DataView(new ArrayBuffer(SINGLE_REGION_PADDING + regionSize(xenMmap)));
    writeRegion(view, SINGLE_REGION_PADDING, region);
    return new Uint8Array(view.buffer);
  },
  check: checkRegion,
  checkSent: checkSentRegion,
};
