import { appendFileSync, copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Architecture } from '../architecture.ts';
import { type Artefact, artefactFile, asset, type BuildContext } from '../artefact.ts';
import { CpioWriter } from '../cpio.ts';
import { BoxError } from '../errors.ts';
import { run } from '../run-command.ts';
import { LINUX_SOURCE, linuxSource } from './linux-source.ts';

interface KernelTarget {
  readonly name: string;
  /** `ARCH` of the kernel's make. */
  readonly arch: Architecture;
  readonly crossCompile: string;
  readonly fragments: readonly string[];
  /** Make target. */
  readonly image: string;
  /** File of the artefact -> its path in the build directory. */
  readonly images: Readonly<Record<string, string>>;
}

/** Options of the fragments that did not make it into `.config`. */
function lostOptions(config: string, fragments: readonly string[]): string[] {
  const lines = new Set(config.split('\n'));
  return fragments
    .flatMap((fragment) => fragment.split('\n'))
    .filter((line) => /^(# )?CONFIG_/.test(line))
    .filter((line) =>
      line.startsWith('# ')
        ? // An option whose dependencies are off is not listed at all, which is as good.
          config.includes(`\n${line.slice(2).split(' ')[0]}=`)
        : !lines.has(line),
    );
}

async function build(
  target: KernelTarget,
  { out, work, run: options }: BuildContext,
): Promise<void> {
  const tarball = artefactFile(linuxSource, `${LINUX_SOURCE}.tar.xz`);
  await run(['tar', '-C', work, '-xf', tarball], options);
  const tree = join(work, 'build');
  const make = [
    'make',
    `-j${cpus().length}`,
    '-C',
    join(work, LINUX_SOURCE),
    `O=${tree}`,
    `ARCH=${target.arch}`,
    `CROSS_COMPILE=${target.crossCompile}`,
    'LOCALVERSION=-node-vmm',
    // Equal sources and options are to give equal bytes.
    'KBUILD_BUILD_USER=node-vmm',
    'KBUILD_BUILD_HOST=box',
    'KBUILD_BUILD_TIMESTAMP=1970-01-01',
  ];
  await run([...make, 'tinyconfig'], options);
  appendFileSync(join(tree, '.config'), target.fragments.join('\n'));
  await run([...make, 'olddefconfig'], options);
  const lost = lostOptions(readFileSync(join(tree, '.config'), 'utf8'), target.fragments);
  if (lost.length > 0) {
    throw new BoxError(
      'BUILD_FAILED',
      `Cannot configure ${target.name}: options that do not hold: ${lost.join(', ')}`,
    );
  }
  await run([...make, target.image, 'modules'], options);
  const modules = join(work, 'modules');
  await run([...make, `INSTALL_MOD_PATH=${modules}`, 'modules_install'], options);
  for (const [name, path] of Object.entries(target.images)) {
    copyFileSync(join(tree, path), join(out, name));
  }
  copyFileSync(join(tree, '.config'), join(out, 'config'));
  const archive = new CpioWriter(join(out, 'modules.cpio'));
  for (const release of readdirSync(join(modules, 'lib/modules'))) {
    const root = join(modules, 'lib/modules', release);
    if (!existsSync(join(root, 'modules.dep'))) {
      throw new BoxError(
        'BUILD_FAILED',
        `Cannot package modules of ${target.name}: no modules.dep`,
      );
    }
    // `build` and `source` point into the build machine.
    archive.copy(`usr/lib/modules/${release}`, root, (name) => !/^(build|source)$/.test(name));
  }
  archive.close();
}

function kernel(target: KernelTarget): Artefact {
  return {
    name: target.name,
    title: `Linux kernel (${target.arch})`,
    kind: 'build',
    needs: [linuxSource],
    inputs: { recipe: 1, source: linuxSource.inputs, ...target },
    files: [...Object.keys(target.images), 'modules.cpio', 'config'],
    build: (context) => build(target, context),
  };
}

/** One kernel for each architecture serves all: dom0, guests of Xen, of QEMU and of KVM. */
export const KERNELS: Readonly<Record<Architecture, Artefact>> = {
  arm64: kernel({
    name: 'kernel-arm64',
    arch: 'arm64',
    crossCompile: 'aarch64-linux-gnu-',
    fragments: [asset('kernel/common.config'), asset('kernel/arm64.config')],
    image: 'Image',
    images: { Image: 'arch/arm64/boot/Image' },
  }),
  x86_64: kernel({
    name: 'kernel-x86_64',
    arch: 'x86_64',
    crossCompile: '',
    fragments: [asset('kernel/common.config'), asset('kernel/x86_64.config')],
    image: 'bzImage',
    // The ELF file has the PVH entry.
    images: { Image: 'arch/x86/boot/bzImage', vmlinux: 'vmlinux' },
  }),
};
