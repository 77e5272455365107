import { join } from 'node:path';
import { type Architecture, DEBIAN_ARCHITECTURES, TRIPLETS } from '../architecture.ts';
import type { Artefact } from '../artefact.ts';
import { CpioWriter } from '../cpio.ts';
import { run as runCommand } from '../run-command.ts';
import { scriptInputs, writeRootFileSystem } from './root-file-system.ts';
import { TRIXIE } from './suites.ts';

const PACKAGES = ['busybox-static', 'gpiod', 'i2c-tools', 'libc6', 'libgpiod3', 'libi2c0'];
const PROGRAMS = [
  'usr/bin/busybox',
  ...['detect', 'get', 'info', 'mon', 'set'].map((name) => `usr/bin/gpio${name}`),
  ...['detect', 'dump', 'get', 'set', 'transfer'].map((name) => `usr/sbin/i2c${name}`),
];
const SCRIPTS = {
  'guest/rc': 'etc/box/rc',
  'guest/inittab': 'etc/inittab',
  'guest/console-agent': 'etc/box/console-agent',
};

function guest(machine: Architecture): Artefact {
  const architecture = DEBIAN_ARCHITECTURES[machine];
  return {
    name: `guest-${machine}`,
    title: `Guest initramfs (${machine})`,
    kind: 'fetch',
    inputs: {
      recipe: 1,
      architecture,
      packages: PACKAGES,
      programs: PROGRAMS,
      scripts: scriptInputs(SCRIPTS),
    },
    files: ['initramfs.cpio.gz'],
    async build({ out, work, run, debian }) {
      const root = join(work, 'root');
      await debian.unpack({ packages: PACKAGES, architecture, suites: TRIXIE }, root);
      const plain = join(out, 'initramfs.cpio');
      const archive = new CpioWriter(plain);
      const files = { root, triplet: TRIPLETS[machine], programs: PROGRAMS, scripts: SCRIPTS };
      await writeRootFileSystem(archive, files, run);
      archive.close();
      await runCommand(['gzip', '-9n', plain], run);
    },
  };
}

/** User space of guests of Xen and of QEMU. */
export const GUESTS: Readonly<Record<Architecture, Artefact>> = {
  arm64: guest('arm64'),
  x86_64: guest('x86_64'),
};
