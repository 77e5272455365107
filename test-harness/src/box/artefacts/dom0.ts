import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { type Architecture, DEBIAN_ARCHITECTURES, TRIPLETS } from '../architecture.ts';
import { type Artefact, artefactFile } from '../artefact.ts';
import { CpioWriter } from '../cpio.ts';
import { NPM_NODE } from './npm-node.ts';
import { scriptInputs, writeRootFileSystem } from './root-file-system.ts';
import { XEN_SERIES, type XenSeries } from './xen-series.ts';

const NODE = 'usr/bin/node';

const PACKAGES = [
  'bsdutils',
  'busybox-static',
  'i2c-tools',
  'libc6',
  'libcom-err2',
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
  'libxenstore4',
  'libxentoolcore1',
  'libxentoollog1',
  'libyajl2',
  'xenstore-utils',
  'zlib1g',
];

/** What the domain builder for x86 unpacks kernels with. */
const X86_PACKAGES = ['libbz2-1.0', 'liblzma5', 'liblzo2-2', 'libzstd1'];

/** Guests of x86 can be saved. */
const X86_XEN_PROGRAMS = ['libxl-save-helper'];

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
];

const SCRIPTS = { 'dom0/rc': 'etc/box/rc', 'dom0/inittab': 'etc/inittab' };

/** Packages of Xen's tools and all that they need. */
export function dom0Packages(series: XenSeries, architecture: Architecture): string[] {
  return [
    ...PACKAGES,
    ...(architecture === 'x86_64' ? X86_PACKAGES : []),
    ...series.libraries,
    `xen-utils-${series.name}`,
  ];
}

/** Where Xen's tools come from: packages of Debian, or an unpacked root of the user's. */
export interface ToolsOrigin {
  readonly name: string;
  readonly inputs: unknown;
  /** Puts an unpacked root with the tools of Xen and everything else at `root`. */
  unpack(root: string, context: Parameters<Artefact['build']>[0]): Promise<void>;
  /** Directory of Xen's own programs below the root. */
  readonly programs: string;
}

/** Debian's packages of a series. */
export function debianTools(series: XenSeries, architecture: Architecture): ToolsOrigin {
  const packages = dom0Packages(series, architecture);
  const { suites } = series;
  return {
    name: series.name,
    inputs: { packages, suite: suites[0] },
    programs: `usr/lib/xen-${series.name}/bin`,
    unpack: (root, { debian }) =>
      debian.unpack({ packages, architecture: DEBIAN_ARCHITECTURES[architecture], suites }, root),
  };
}

/**
 * User space of dom0: Xen's tools, busybox, i2c-tools, Node.js. Kernel modules, guests and the
 * code under test are added at boot as further archives. It is not compressed: inflating it would
 * cost an emulated CPU more than copying it.
 */
export function dom0RootFileSystem(tools: ToolsOrigin, architecture: Architecture): Artefact {
  const node = NPM_NODE[architecture];
  const names = [...XEN_PROGRAMS, ...(architecture === 'x86_64' ? X86_XEN_PROGRAMS : [])];
  const xenPrograms = names.map((name) => `${tools.programs}/${name}`);
  const programs = [...PROGRAMS, ...xenPrograms];
  return {
    name: `dom0-${architecture}-${tools.name}`,
    title: `dom0 root file system (${architecture}, tools ${tools.name})`,
    kind: 'fetch',
    needs: [node],
    inputs: {
      recipe: 2,
      tools: tools.inputs,
      programs,
      scripts: scriptInputs(SCRIPTS),
      npm: node.inputs,
    },
    files: ['rootfs.cpio'],
    async build(context) {
      const { out, work, run } = context;
      const root = join(work, 'root');
      await tools.unpack(root, context);
      cpSync(artefactFile(node, 'node'), join(root, NODE));
      const archive = new CpioWriter(join(out, 'rootfs.cpio'));
      const files = { root, triplet: TRIPLETS[architecture], programs, scripts: SCRIPTS };
      await writeRootFileSystem(archive, files, run);
      for (const path of xenPrograms) {
        archive.symlink(`usr/sbin/${path.slice(path.lastIndexOf('/') + 1)}`, `/${path}`);
      }
      archive.directory('var/lib/xen');
      archive.directory('var/log/xen');
      archive.file('etc/xen/xl.conf', 'autoballoon="off"\n');
      archive.close();
    },
  };
}

function bySeries(architecture: Architecture): Readonly<Record<string, Artefact>> {
  return Object.fromEntries(
    XEN_SERIES.map((series) => [
      series.name,
      dom0RootFileSystem(debianTools(series, architecture), architecture),
    ]),
  );
}

/** dom0's user space by architecture and series, of Debian's packages. */
export const DOM0: Readonly<Record<Architecture, Readonly<Record<string, Artefact>>>> = {
  arm64: bySeries('arm64'),
  x86_64: bySeries('x86_64'),
};
