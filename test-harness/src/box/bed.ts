import type { Architecture } from './architecture.ts';
import type { Artefact } from './artefact.ts';

/**
 * How a guest's devices become known to the bridge:
 * - `virtio`: `virtio = [ ... ]` of xl, in the xenstore under `backend/virtio`
 * - `disk`: `disk = [ ... specification=virtio ... ]` of xl, under `backend/virtio_disk`
 * - `told`: `--device` on the bridge's command line; the toolstack announces nothing
 */
export type Announcement = 'virtio' | 'disk' | 'told';

/** Something that tests ask a bed for. */
export type BedFeature =
  /** Guests whose memory can be mapped before their drivers give up. */
  | 'guest-devices'
  /** Notifications and interrupts without the bridge running. */
  | 'kernel-notification'
  /** dom0 can have an I2C adapter that this machine serves. */
  | 'outer-i2c'
  /** Guests with hvmloader and QEMU as their device model. */
  | 'hvmloader';

/** Where a Xen of some release runs: architecture, hypervisor, tools, kernel, guests. */
export interface Bed {
  /** `<architecture>-<series>`. */
  readonly name: string;
  readonly architecture: Architecture;
  /** Release series of Xen, e.g. `4.20`; compared by numbers to find the newest. */
  readonly series: string;
  readonly announcement: Announcement;
  /** Kind of dom0 on x86: its kernel notifies without the bridge only in a PVH one. */
  readonly dom0Kind?: 'PV' | 'PVH';
  readonly features: readonly BedFeature[];
  readonly xen: Artefact;
  readonly kernel: Artefact;
  readonly dom0: Artefact;
  readonly guest: Artefact;
  /** What guests boot from besides, where xl does not load their kernel by itself. */
  readonly boot?: Artefact;
  /** Node.js for dom0, and koffi's native code. */
  readonly node: Artefact;
  /** What dom0 needs for guests with hvmloader; the bed is there without it. */
  readonly deviceModel?: Artefact;
}

/** Everything that a bed cannot do without, without what those need. */
export function artefactsOf(bed: Bed): Artefact[] {
  const boot = bed.boot === undefined ? [] : [bed.boot];
  return [bed.node, bed.kernel, bed.xen, bed.dom0, bed.guest, ...boot];
}

/** True when `a` is of a newer series than `b`. */
export function isNewer(a: Bed, b: Bed): boolean {
  const [majorA = 0, minorA = 0] = a.series.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.series.split('.').map(Number);
  return majorA !== majorB ? majorA > majorB : minorA > minorB;
}
