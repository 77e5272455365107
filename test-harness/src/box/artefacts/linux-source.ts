import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Artefact } from '../artefact.ts';
import { TRIXIE } from './suites.ts';

/** Debian package of the kernel's source, and name of the directory in its tarball. */
export const LINUX_SOURCE = 'linux-source-6.12';

/** Source of the kernels; kept, so that another configuration needs no download. */
export const linuxSource: Artefact = {
  name: 'linux-source',
  title: 'Source of Linux',
  kind: 'fetch',
  inputs: { recipe: 1, package: LINUX_SOURCE },
  files: [`${LINUX_SOURCE}.tar.xz`],
  async build({ out, work, debian }) {
    const root = join(work, 'root');
    const suites = [...TRIXIE, 'bookworm-backports'];
    await debian.unpack({ packages: [LINUX_SOURCE], architecture: 'amd64', suites }, root);
    const name = `${LINUX_SOURCE}.tar.xz`;
    cpSync(join(root, 'usr/src', name), join(out, name));
  },
};
