import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Artefact } from '../artefact.ts';
import { TRIXIE } from './suites.ts';
import { XEN_4_17, XEN_4_20, type XenSeries } from './xen-series.ts';

const XEN = 'libxen-dev';
/** Those of Linux are of the box's kernel whatever the Xen. */
const LINUX = 'linux-libc-dev';
/** Directories of /usr/include; the rest of the packages is not looked at. */
const DIRECTORIES = ['linux', 'asm-generic', 'xen', 'x86_64-linux-gnu', 'aarch64-linux-gnu'];

function headers(series: XenSeries): Artefact {
  return {
    name: `abi-headers-${series.name}`,
    title: `Headers of Xen ${series.name} and of Linux`,
    kind: 'fetch',
    inputs: {
      recipe: 3,
      packages: [XEN, LINUX],
      suite: series.suites[0],
      directories: DIRECTORIES,
    },
    files: ['include/xen/hvm/dm_op.h', 'include/xen/privcmd.h', 'include/linux/virtio_i2c.h'],
    async build({ out, work, debian }) {
      const root = join(work, 'root');
      const architecture = 'amd64';
      const { suites } = series;
      await debian.unpack({ packages: [XEN], architecture, suites }, root);
      await debian.unpack({ packages: [LINUX], architecture, suites: TRIXIE }, root);
      for (const name of DIRECTORIES) {
        const source = join(root, 'usr/include', name);
        if (!existsSync(source)) continue;
        cpSync(source, join(out, 'include', name), { recursive: true, dereference: true });
      }
    },
  };
}

/** What our struct tables must agree with: headers of each series of Xen, and of Linux. */
export const ABI_HEADERS: Readonly<Record<string, Artefact>> = {
  [XEN_4_17.name]: headers(XEN_4_17),
  [XEN_4_20.name]: headers(XEN_4_20),
};
