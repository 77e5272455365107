import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Artefact } from '../artefact.ts';
import { hasProgram } from '../host-tools.ts';
import { run } from '../run-command.ts';

const VERSION = '0.1.0';

/** rust-vmm's entropy daemon: the peer that the benchmarks compare with. */
export const vhostDeviceRng: Artefact = {
  name: 'vhost-device-rng',
  title: `vhost-device-rng ${VERSION} (Rust)`,
  kind: 'build',
  inputs: { recipe: 1, version: VERSION },
  files: ['vhost-device-rng'],
  skipReason: () =>
    hasProgram('cargo') ? undefined : 'no cargo on this machine; benchmarks run without this peer',
  async build({ out, work, run: options }) {
    const root = join(work, 'root');
    const crate = ['vhost-device-rng', '--version', VERSION, '--locked', '--root', root];
    await run(['cargo', 'install', ...crate], {
      ...options,
      env: { CARGO_TARGET_DIR: join(work, 'target') },
    });
    cpSync(join(root, 'bin/vhost-device-rng'), join(out, 'vhost-device-rng'));
  },
};
