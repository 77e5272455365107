import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { type Artefact, artefactFile } from '../artefact.ts';
import { CpioWriter } from '../cpio.ts';
import { npmArm64 } from './npm-arm64.ts';
import { scriptInputs, writeRootFileSystem } from './root-file-system.ts';

const XEN_BIN = 'usr/lib/xen-4.20/bin';
const NODE = 'usr/bin/node';

const PACKAGES = [
  'bsdutils',
  'busybox-static',
  'i2c-tools',
  'libc6',
  'libcom-err2',
  'libext2fs2t64',
  'libfdt1',
  'libgcc-s1',
  'libi2c0',
  'libncurses6',
  'libnl-3-200',
  'libnl-route-3-200',
  'libstdc++6',
  'libtinfo6',
  'libuuid1',
  'libxencall1',
  'libxendevicemodel1',
  'libxenevtchn1',
  'libxenforeignmemory1',
  'libxengnttab1',
  'libxenhypfs1',
  'libxenmisc4.20',
  'libxenstore4',
  'libxentoolcore1',
  'libxentoollog1',
  'libyajl2',
  'xen-utils-4.20',
  'xenstore-utils',
  'zlib1g',
];

const XEN_PROGRAMS = ['xenconsole', 'xenconsoled', 'xen-diag', 'xen-init-dom0', 'xenstored', 'xl'];

const PROGRAMS = [
  NODE,
  'usr/bin/busybox',
  'usr/bin/script',
  'usr/bin/xenstore',
  ...['chmod', 'exists', 'list', 'ls', 'read', 'rm', 'watch', 'write'].map(
    (name) => `usr/bin/xenstore-${name}`,
  ),
  ...['detect', 'dump', 'get', 'set', 'transfer'].map((name) => `usr/sbin/i2c${name}`),
  ...XEN_PROGRAMS.map((name) => `${XEN_BIN}/${name}`),
];

const SCRIPTS = { 'dom0/rc': 'etc/box/rc', 'dom0/inittab': 'etc/inittab' };

/**
 * User space of dom0: Xen's tools, busybox, i2c-tools, Node.js. Kernel modules, guests and the
 * code under test are added at boot as further archives. It is not compressed: inflating it would
 * cost an emulated CPU more than copying it.
 */
export const dom0RootFileSystem: Artefact = {
  name: 'dom0-rootfs',
  title: 'dom0 root file system',
  inputs: {
    recipe: 1,
    packages: PACKAGES,
    programs: PROGRAMS,
    scripts: scriptInputs(SCRIPTS),
    npm: npmArm64.inputs,
  },
  files: ['rootfs.cpio'],
  async build({ out, work, run, apt }) {
    const root = join(work, 'root');
    await apt.unpack(PACKAGES, 'arm64', root);
    cpSync(artefactFile(npmArm64, 'node'), join(root, NODE));
    const archive = new CpioWriter(join(out, 'rootfs.cpio'));
    await writeRootFileSystem(
      archive,
      { root, triplet: 'aarch64-linux-gnu', programs: PROGRAMS, scripts: SCRIPTS },
      run,
    );
    for (const name of XEN_PROGRAMS) archive.symlink(`usr/sbin/${name}`, `/${XEN_BIN}/${name}`);
    archive.directory('var/lib/xen');
    archive.directory('var/log/xen');
    archive.file('etc/xen/xl.conf', 'autoballoon="off"\n');
    archive.close();
  },
};
