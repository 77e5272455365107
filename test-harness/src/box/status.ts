import { type Artefact, artefactFile, isBuilt } from './artefact.ts';
import {
  GUEST_NODE,
  GUESTS,
  KERNELS,
  NEWEST_QEMU,
  vhostDeviceRng,
  vhostDeviceRngXen,
} from './artefacts/index.ts';
import { artefactsOf, type Bed, type BedFeature, isNewer } from './bed.ts';
import { allBeds } from './beds.ts';
import { BoxError } from './errors.ts';
import { hasProgram } from './host-tools.ts';
import { readSetupReport } from './setup-report.ts';

/**
 * Whether something can be run here and now:
 * - `ready`
 * - `unavailable`: what it is made of cannot be had from here; a fact of life
 * - `failed`: it could be had, and was not made
 * - `missing`: setup has not been done, or not since it is needed
 */
export interface Readiness {
  readonly state: 'ready' | 'unavailable' | 'failed' | 'missing';
  readonly ready: boolean;
  /** What is missing and what to do about it; empty when ready. */
  readonly reason: string;
}

/** Whether a bed can be booted. */
export interface BedStatus extends Readiness {
  readonly bed: Bed;
}

/** Whether the box can be run, and which of its beds. */
export interface BoxStatus {
  readonly ready: boolean;
  /** Empty when ready. */
  readonly reason: string;
  readonly beds: readonly BedStatus[];
}

const READY: Readiness = { state: 'ready', ready: true, reason: '' };

function emulator(architecture: Bed['architecture']): string {
  return architecture === 'arm64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64';
}

/** Whether some artefacts and a program are there. */
export function readiness(artefacts: readonly Artefact[], program: string): Readiness {
  const missing = artefacts.filter((artefact) => !isBuilt(artefact)).map(({ name }) => name);
  if (missing.length === 0 && hasProgram(program)) return READY;
  const report = readSetupReport();
  const told = missing.map((name) => report?.missing[name]).filter((entry) => entry !== undefined);
  const worst = told.find(({ state }) => state === 'failed') ?? told[0];
  if (worst !== undefined && worst.state !== 'ready' && told.length === missing.length) {
    return { state: worst.state, ready: false, reason: worst.reason };
  }
  const names = [...(hasProgram(program) ? [] : [program]), ...missing];
  const reason = `missing: ${names.join(', ')}; run \`npm run box:setup\``;
  return { state: 'missing', ready: false, reason };
}

/** Says what `box:setup` has made, without side effects; takes a few milliseconds. */
export function boxStatus(): BoxStatus {
  const beds = allBeds().map((bed) => ({
    bed,
    ...readiness(artefactsOf(bed), emulator(bed.architecture)),
  }));
  const ready = beds.some((status) => status.ready);
  return { beds, ready, reason: ready ? '' : (beds[0]?.reason ?? '') };
}

/** Which QEMU a guest of plain QEMU runs in: this machine's own, or the newest of Debian. */
export type QemuKind = 'installed' | 'newest';

/** Whether guests of plain QEMU can be booted, in that QEMU. */
export function qemuStatus(kind: QemuKind = 'installed'): Readiness {
  const artefacts = [KERNELS.x86_64, GUESTS.x86_64];
  return readiness(kind === 'newest' ? [...artefacts, NEWEST_QEMU] : artefacts, qemuProgram(kind));
}

/** Whether such a guest can have Node.js, in this machine's QEMU: see `nodeArchives`. */
export function qemuNodeStatus(): Readiness {
  return readiness([KERNELS.x86_64, GUESTS.x86_64, GUEST_NODE], qemuProgram('installed'));
}

/** The program of a QEMU, a path or a name in the search path. */
export function qemuProgram(kind: QemuKind): string {
  return kind === 'newest' ? artefactFile(NEWEST_QEMU, 'qemu-system-x86_64') : emulator('x86_64');
}

/** Whether a bed can have guests with hvmloader. */
export function deviceModelStatus({ name, architecture, deviceModel }: Bed): Readiness {
  return deviceModel === undefined
    ? { state: 'unavailable', ready: false, reason: `${name} has no hvmloader` }
    : readiness([deviceModel], emulator(architecture));
}

/** What of some features a bed does not have. */
export function lacking(bed: Bed, needs: readonly BedFeature[]): BedFeature[] {
  return needs.filter((feature) => !bed.features.includes(feature));
}

/**
 * A bed that can be booted.
 *
 * @param name - default: the newest there is; of two equally new ones the first in the list
 * @param needs - what it must have
 * @throws {BoxError} `BAD_OPTION` when there is no bed of that name or it lacks something,
 * `MISSING_ARTEFACT`
 */
export function findBed(name?: string, needs: readonly BedFeature[] = []): Bed {
  const { beds: all } = boxStatus();
  const beds = all.filter(({ bed }) => lacking(bed, needs).length === 0);
  if (name === undefined) {
    const ready = beds.filter((status) => status.ready).map(({ bed }) => bed);
    const newest = ready.reduce<Bed | undefined>(
      (best, bed) => (best === undefined || isNewer(bed, best) ? bed : best),
      undefined,
    );
    if (newest !== undefined) return newest;
    throw new BoxError('MISSING_ARTEFACT', `Cannot boot the box: ${beds[0]?.reason ?? ''}`);
  }
  const status = all.find(({ bed }) => bed.name === name);
  if (status === undefined) {
    const names = all.map(({ bed }) => bed.name).join(', ');
    throw new BoxError('BAD_OPTION', `Cannot boot "${name}": no such bed; there are ${names}`);
  }
  if (!beds.includes(status)) {
    const lacks = lacking(status.bed, needs).join(', ');
    const others = beds.map(({ bed }) => bed.name).join(' or ');
    throw new BoxError('BAD_OPTION', `Cannot use ${name}: it has no ${lacks}; use ${others}`);
  }
  if (status.ready) return status.bed;
  throw new BoxError('MISSING_ARTEFACT', `Cannot boot ${name}: ${status.reason}`);
}

/** Path of rust-vmm's vhost-device-rng, or undefined when setup had no cargo to build it. */
export function vhostDeviceRngPath(): string | undefined {
  return isBuilt(vhostDeviceRng) ? artefactFile(vhostDeviceRng, 'vhost-device-rng') : undefined;
}

/** The same for an x86_64 dom0, with rust-vmm's feature `xen`. */
export function vhostDeviceRngXenPath(): string | undefined {
  return isBuilt(vhostDeviceRngXen)
    ? artefactFile(vhostDeviceRngXen, 'vhost-device-rng')
    : undefined;
}
