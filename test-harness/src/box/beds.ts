import type { Architecture } from './architecture.ts';
import type { Artefact } from './artefact.ts';
import {
  DEVICE_MODELS,
  DOM0,
  GUESTS,
  hvmBoot,
  KERNELS,
  NPM_NODE,
  XEN_4_20,
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
  const features: BedFeature[] = ['guest-devices', 'kernel-notification', 'outer-i2c'];
  const announcement = series.xlVirtio ? 'virtio' : 'disk';
  return bed('arm64', series, XEN_ARM64, features, announcement);
}

function x86(series: XenSeries): Bed {
  const features: BedFeature[] = ['guest-devices', 'hvmloader', 'outer-i2c'];
  const machine = bed('x86_64', series, XEN_X86, features, 'told');
  const deviceModel = DEVICE_MODELS[series.name] as Artefact;
  return { ...machine, dom0Kind: 'PV', boot: hvmBoot, deviceModel };
}

/**
 * The same with a PVH dom0, whose kernel can notify without the bridge. There a foreign page costs half
 * a millisecond (Xen tells the emulated IOMMU of each), so that a guest's driver has given up before
 * all of its memory is mapped; and QEMU's vhost-user devices do not pass that IOMMU.
 */
function pvh(series: XenSeries): Bed {
  const machine = x86(series);
  return { ...machine, name: `${machine.name}-pvh`, dom0Kind: 'PVH', features: [] };
}

/** What setup tries to make. */
export const BEDS: readonly Bed[] = [
  ...XEN_SERIES.map(arm64),
  ...XEN_SERIES.map(x86),
  pvh(XEN_4_20),
];

/** All beds: {@link BEDS}, and the user's own where there is one. */
export function allBeds(): readonly Bed[] {
  const own = readOwnBed();
  return own === undefined ? BEDS : [...BEDS, own];
}
