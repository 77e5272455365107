import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Artefact } from '../artefact.ts';

const PACKAGES = ['libxen-dev', 'linux-libc-dev'];
/** Directories of /usr/include; the rest of the packages is not looked at. */
const DIRECTORIES = ['linux', 'asm-generic', 'xen', 'x86_64-linux-gnu', 'aarch64-linux-gnu'];

/** Headers of the Xen and the Linux that run in the box: what our struct tables must agree with. */
export const abiHeaders: Artefact = {
  name: 'abi-headers',
  title: 'Headers of Xen and Linux',
  inputs: { recipe: 1, packages: PACKAGES, directories: DIRECTORIES },
  files: ['include/xen/hvm/dm_op.h', 'include/xen/privcmd.h', 'include/linux/virtio_i2c.h'],
  async build({ out, work, apt }) {
    const root = join(work, 'root');
    await apt.unpack(PACKAGES, 'amd64', root);
    for (const name of DIRECTORIES) {
      cpSync(join(root, 'usr/include', name), join(out, 'include', name), {
        recursive: true,
        dereference: true,
      });
    }
  },
};
