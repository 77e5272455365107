import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DEBIAN_ARCHITECTURES } from '../architecture.ts';
import type { Artefact } from '../artefact.ts';
import { run } from '../run-command.ts';
import { TRIXIE } from './suites.ts';

const architecture = DEBIAN_ARCHITECTURES.x86_64;
const PROGRAM = 'systemd';
const PACKAGES = ['busybox-static', 'libgcc-s1', 'libstdc++6'];
/** What no program here reads. */
const UNUSED = ['include', 'lib/debug', 'lib/udev', 'share'];

/** `/usr` of a container whose first process is systemd, with busybox's commands where it has no others. */
export const SYSTEMD_ROOT: Artefact = {
  name: 'systemd-root-x86_64',
  title: 'systemd with what it needs (x86_64)',
  kind: 'fetch',
  inputs: { recipe: 1, architecture, packages: [PROGRAM, ...PACKAGES], unused: UNUSED },
  files: ['usr/lib/systemd/systemd', 'usr/bin/busybox', 'usr/bin/node'],
  skipReason: () =>
    process.arch === 'x64' ? undefined : 'this machine does not run programs of x86_64',
  async build({ out, work, run: options, debian }) {
    const root = join(work, 'root');
    mkdirSync(root);
    const program = { name: PROGRAM, version: /./, architecture, suites: TRIXIE };
    await debian.unpackProgram(program, root);
    await debian.unpack({ packages: PACKAGES, architecture, suites: TRIXIE }, root);
    const usr = join(out, 'usr');
    cpSync(join(root, 'usr'), usr, { recursive: true, verbatimSymlinks: true });
    for (const path of UNUSED) rmSync(join(usr, path), { recursive: true, force: true });
    const busybox = join(usr, 'bin/busybox');
    const sbin = readdirSync(join(usr, 'sbin'));
    for (const name of (await run([busybox, '--list'], options)).split('\n')) {
      const link = join(usr, 'bin', name);
      if (name !== '' && !sbin.includes(name) && !existsSync(link)) symlinkSync('busybox', link);
    }
    // Where a container has others, by mounts.
    writeFileSync(join(usr, 'bin/node'), '');
    mkdirSync(join(usr, 'local'), { recursive: true });
  },
};
