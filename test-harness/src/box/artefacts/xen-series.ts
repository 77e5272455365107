import { BOOKWORM, TRIXIE } from './suites.ts';

/** A release series of Xen. Hypervisor and tools must be of one series; any two of it will do. */
export interface XenSeries {
  /** `4.20`. */
  readonly name: string;
  /** Debian's releases that have its packages. */
  readonly suites: readonly string[];
  /** Where its source may be, in some version. */
  readonly sourceSuites: readonly string[];
  /** True when `xl` has `virtio = [ ... ]`. */
  readonly xlVirtio: boolean;
  /** Libraries whose package names differ between Debian's releases. */
  readonly libraries: readonly string[];
}

/** Xen of Debian 12. */
export const XEN_4_17: XenSeries = {
  name: '4.17',
  suites: BOOKWORM,
  sourceSuites: BOOKWORM,
  xlVirtio: false,
  libraries: ['libext2fs2', 'libxenmisc4.17'],
};

/** Xen of Debian 13. */
export const XEN_4_20: XenSeries = {
  name: '4.20',
  suites: TRIXIE,
  sourceSuites: ['trixie', 'trixie-security', 'sid', 'forky'],
  xlVirtio: true,
  libraries: ['libext2fs2t64', 'libxenmisc4.20'],
};

/** The oldest first. */
export const XEN_SERIES: readonly XenSeries[] = [XEN_4_17, XEN_4_20];
