import { join } from 'node:path';
import type { DebianArchitecture } from '../apt.ts';
import type { Artefact } from '../artefact.ts';
import { CpioWriter } from '../cpio.ts';
import { run as runCommand } from '../run-command.ts';
import { scriptInputs, writeRootFileSystem } from './root-file-system.ts';

const PACKAGES = ['busybox-static', 'i2c-tools', 'libc6', 'libi2c0'];
const PROGRAMS = [
  'usr/bin/busybox',
  ...['detect', 'dump', 'get', 'set', 'transfer'].map((name) => `usr/sbin/i2c${name}`),
];
const SCRIPTS = {
  'guest/rc': 'etc/box/rc',
  'guest/inittab': 'etc/inittab',
  'guest/console-agent': 'etc/box/console-agent',
};

function guest(name: string, architecture: DebianArchitecture, triplet: string): Artefact {
  return {
    name,
    title: `Guest initramfs (${architecture})`,
    inputs: {
      recipe: 1,
      architecture,
      packages: PACKAGES,
      programs: PROGRAMS,
      scripts: scriptInputs(SCRIPTS),
    },
    files: ['initramfs.cpio.gz'],
    async build({ out, work, run, apt }) {
      const root = join(work, 'root');
      await apt.unpack(PACKAGES, architecture, root);
      const plain = join(out, 'initramfs.cpio');
      const archive = new CpioWriter(plain);
      const files = { root, triplet, programs: PROGRAMS, scripts: SCRIPTS };
      await writeRootFileSystem(archive, files, run);
      archive.close();
      await runCommand(['gzip', '-9n', plain], run);
    },
  };
}

/** Guests of Xen. */
export const guestArm64: Artefact = guest('guest-arm64', 'arm64', 'aarch64-linux-gnu');

/** Guests of QEMU. */
export const guestX86: Artefact = guest('guest-x86_64', 'amd64', 'x86_64-linux-gnu');
