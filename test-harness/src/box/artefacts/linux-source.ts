import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Artefact } from '../artefact.ts';

/** Debian package of the kernel's source, and name of the directory in its tarball. */
export const LINUX_SOURCE = 'linux-source-6.12';

/** Source of the kernels; kept, so that another configuration needs no download. */
export const linuxSource: Artefact = {
  name: 'linux-source',
  title: 'Source of Linux',
  inputs: { recipe: 1, package: LINUX_SOURCE },
  files: [`${LINUX_SOURCE}.tar.xz`],
  async build({ out, work, apt }) {
    const root = join(work, 'root');
    await apt.unpack([LINUX_SOURCE], 'amd64', root);
    const name = `${LINUX_SOURCE}.tar.xz`;
    cpSync(join(root, 'usr/src', name), join(out, name));
  },
};
