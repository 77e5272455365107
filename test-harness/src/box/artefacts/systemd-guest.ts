import { cpSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DEBIAN_ARCHITECTURES } from '../architecture.ts';
import { type Artefact, artefactFile, asset, type BuildContext } from '../artefact.ts';
import { CpioWriter } from '../cpio.ts';
import { BoxError } from '../errors.ts';
import { run } from '../run-command.ts';
import { NPM_NODE } from './npm-node.ts';
import { TRIXIE } from './suites.ts';

const architecture = DEBIAN_ARCHITECTURES.x86_64;
const node = NPM_NODE.x86_64;
const ANY = /./;
/** Debian's own kernel: ours has neither control groups nor namespaces nor seccomp. */
const KERNEL = 'linux-image-amd64';
const PROGRAMS = ['busybox-static', 'libgcc-s1', 'libstdc++6'];
/** An I2C adapter with chips that keep their registers; Debian's kernel has no such GPIO lines. */
const MODULES = ['i2c_dev', 'i2c_stub'];
/** What no program here reads. */
const UNUSED = /^(boot|etc|usr\/(include|share|lib\/(debug|udev|[^/]+\/gconv))|var)(\/|$)/;
const FILES = {
  'systemd/rc': 'etc/box/rc',
  'systemd/box.service': 'etc/systemd/system/box.service',
  'systemd/passwd': 'etc/passwd',
  'systemd/group': 'etc/group',
  'guest/console-agent': 'etc/box/console-agent',
};

/**
 * Unpacks modules with what they need.
 *
 * @param tree - all modules of the kernel, compressed
 * @returns their files, in the order in which they are to be loaded
 */
async function unpackModules(
  tree: string,
  { work, run: options }: BuildContext,
): Promise<string[]> {
  const compressed = new Map<string, string>();
  for (const path of readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
    const match = /([^/]+)\.ko\.xz$/.exec(path);
    if (match?.[1] !== undefined) compressed.set(match[1].replaceAll('-', '_'), join(tree, path));
  }
  const order: string[] = [];
  const done = new Set<string>();
  const add = async (name: string): Promise<void> => {
    if (done.has(name)) return;
    done.add(name);
    const path = compressed.get(name);
    if (path === undefined) {
      throw new BoxError('NOT_AVAILABLE', `Cannot use ${KERNEL}: it has no module ${name}`);
    }
    const plain = join(work, `${name}.ko`);
    cpSync(path, `${plain}.xz`);
    await run(['xz', '-d', `${plain}.xz`], options);
    const needed = await run(['modinfo', '-F', 'depends', plain], options);
    for (const other of needed.trim().split(',').filter(Boolean)) {
      await add(other.replaceAll('-', '_'));
    }
    order.push(plain);
  };
  for (const name of MODULES) await add(name);
  return order;
}

async function addKernel(archive: CpioWriter, context: BuildContext): Promise<void> {
  const { out, work, debian } = context;
  const root = join(work, 'kernel');
  await debian.unpackProgram({ name: KERNEL, version: ANY, architecture, suites: TRIXIE }, root);
  const [release = ''] = readdirSync(join(root, 'usr/lib/modules'));
  renameSync(join(root, 'boot', `vmlinuz-${release}`), join(out, 'Image'));
  const modules = await unpackModules(join(root, 'usr/lib/modules', release), context);
  for (const [index, path] of modules.entries()) {
    archive.copy(`usr/lib/box/modules/${String(index).padStart(2, '0')}-${basename(path)}`, path);
  }
}

/**
 * A guest of QEMU whose first process is systemd, on a kernel of Debian, with Node.js and the harness's
 * agent as a service on its serial console. It is not compressed, as dom0's is not.
 */
export const SYSTEMD_GUEST: Artefact = {
  name: 'guest-systemd-x86_64',
  title: 'Guest with systemd (x86_64)',
  kind: 'fetch',
  needs: [node],
  inputs: {
    recipe: 1,
    architecture,
    packages: ['systemd', KERNEL, ...PROGRAMS],
    modules: MODULES,
    files: Object.fromEntries(Object.entries(FILES).map(([name, path]) => [path, asset(name)])),
    npm: node.inputs,
  },
  files: ['Image', 'rootfs.cpio'],
  async build(context) {
    const { out, work, debian } = context;
    const root = join(work, 'root');
    mkdirSync(root);
    await debian.unpackProgram(
      { name: 'systemd', version: ANY, architecture, suites: TRIXIE },
      root,
    );
    await debian.unpack({ packages: PROGRAMS, architecture, suites: TRIXIE }, root);
    cpSync(artefactFile(node, 'node'), join(root, 'usr/bin/node'));
    const archive = new CpioWriter(join(out, 'rootfs.cpio'));
    for (const name of ['dev', 'etc', 'proc', 'root', 'run', 'sys', 'var/lib', 'var/log']) {
      archive.directory(name);
    }
    for (const name of ['bin', 'sbin', 'lib', 'lib64']) archive.symlink(name, `usr/${name}`);
    archive.directory('tmp', 0o1777);
    archive.directory('var/tmp', 0o1777);
    archive.symlink('var/run', '../run');
    archive.characterDevice('dev/console', 5, 1);
    archive.symlink('init', 'etc/box/rc');
    archive.copy('', root, (path) => !UNUSED.test(path));
    archive.symlink(
      'etc/systemd/system/default.target',
      '/usr/lib/systemd/system/multi-user.target',
    );
    archive.symlink('etc/systemd/system/multi-user.target.wants/box.service', '../box.service');
    for (const [name, path] of Object.entries(FILES)) {
      archive.file(path, asset(name), path.startsWith('etc/box/') ? 0o755 : 0o644);
    }
    await addKernel(archive, context);
    archive.close();
  },
};
