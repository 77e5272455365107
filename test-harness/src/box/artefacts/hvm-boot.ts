import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Artefact, artefactFile } from '../artefact.ts';
import { bootImage } from '../x86/boot-image.ts';
import { readPvhKernel } from '../x86/pvh-kernel.ts';
import { buildShim, SHIM_FLAGS, shimSources } from '../x86/shim.ts';
import { GUESTS } from './guest.ts';
import { KERNELS } from './kernel.ts';

/** What HVM guests without a device model boot: firmware, kernel and initramfs. */
export const hvmBoot: Artefact = {
  name: 'hvm-boot',
  title: 'Firmware and boot image of HVM guests',
  kind: 'build',
  needs: [KERNELS.x86_64, GUESTS.x86_64],
  inputs: {
    recipe: 1,
    shim: shimSources(),
    flags: SHIM_FLAGS,
    kernel: KERNELS.x86_64.inputs,
    guest: GUESTS.x86_64.inputs,
  },
  files: ['shim', 'image'],
  async build({ out, work, run }) {
    await buildShim(join(out, 'shim'), work, run);
    const kernel = readPvhKernel(readFileSync(artefactFile(KERNELS.x86_64, 'vmlinux')));
    const initramfs = readFileSync(artefactFile(GUESTS.x86_64, 'initramfs.cpio.gz'));
    writeFileSync(join(out, 'image'), bootImage(kernel, initramfs));
  },
};
