import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { type Artefact, asset } from '../artefact.ts';
import { run } from '../run-command.ts';

const CONFIG = asset('xen/arm64_defconfig');
const CONFIG_NAME = 'node_vmm_defconfig';

/** The arm64 hypervisor, from Debian's source of it. */
export const xenArm64: Artefact = {
  name: 'xen-arm64',
  title: 'Xen hypervisor (arm64)',
  inputs: { recipe: 1, source: 'xen', config: CONFIG },
  files: ['xen'],
  async build({ out, work, run: options, apt }) {
    const tarball = await apt.downloadSource('xen', join(work, 'download'));
    const source = join(work, 'source');
    mkdirSync(source);
    await run(['tar', '-C', source, '--strip-components=1', '-xf', tarball], options);
    writeFileSync(join(source, 'xen/arch/arm/configs', CONFIG_NAME), CONFIG);
    const make = [
      'make',
      '-C',
      join(source, 'xen'),
      'XEN_TARGET_ARCH=arm64',
      'CROSS_COMPILE=aarch64-linux-gnu-',
    ];
    await run([...make, CONFIG_NAME], options);
    await run([...make, `-j${cpus().length}`], options);
    copyFileSync(join(source, 'xen/xen'), join(out, 'xen'));
  },
};
