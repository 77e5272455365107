import type { Architecture } from './architecture.ts';
import type { Artefact } from './artefact.ts';
import {
  DOM0,
  GUESTS,
  hvmBoot,
  KERNELS,
  NPM_NODE,
  XEN_4_17,
  XEN_ARM64,
  XEN_SERIES,
  XEN_X86,
  type XenSeries,
} from './artefacts/index.ts';
import type { Bed, BedFeature } from './bed.ts';
import { readOwnBed } from './own-bed.ts';

/** The parts of a bed that its architecture decides. */
export function partsOf(architecture: Architecture): Pick<Bed, 'kernel' | 'guest' | 'node'> {
  return {
    kernel: KERNELS[architecture],
    guest: GUESTS[architecture],
    node: NPM_NODE[architecture],
  };
}

function bed(
  architecture: Architecture,
  series: XenSeries,
  hypervisors: Readonly<Record<string, Artefact>>,
  features: readonly BedFeature[],
  announcement: Bed['announcement'],
): Bed {
  return {
    name: `${architecture}-${series.name}`,
    architecture,
    series: series.name,
    announcement,
    features,
    xen: hypervisors[series.name] as Artefact,
    dom0: DOM0[architecture][series.name] as Artefact,
    ...partsOf(architecture),
  };
}

function arm64(series: XenSeries): Bed {
  const features: BedFeature[] = ['kernel-notification', 'outer-i2c'];
  if (series.xlVirtio) features.push('xl-virtio');
  const announcement = series.xlVirtio ? 'virtio' : 'disk';
  return bed('arm64', series, XEN_ARM64, features, announcement);
}

/** Both kinds of dom0 are in use: the older series has the older kind. */
function x86(series: XenSeries): Bed {
  const dom0Kind = series === XEN_4_17 ? 'PV' : 'PVH';
  // What QEMU's vhost-user devices read in memory does not pass a PVH dom0's IOMMU.
  const features: BedFeature[] = dom0Kind === 'PV' ? ['outer-i2c'] : [];
  return { ...bed('x86_64', series, XEN_X86, features, 'told'), dom0Kind, boot: hvmBoot };
}

/** What setup tries to make. */
export const BEDS: readonly Bed[] = [...XEN_SERIES.map(arm64), ...XEN_SERIES.map(x86)];

/** All beds: {@link BEDS}, and the user's own where there is one. */
export function allBeds(): readonly Bed[] {
  const own = readOwnBed();
  return own === undefined ? BEDS : [...BEDS, own];
}
