import { copyFileSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Artefact, artefactFile, asset, type BuildContext } from '../artefact.ts';
import { findFile } from '../find-file.ts';
import { run } from '../run-command.ts';
import { buildXen } from '../xen-build.ts';
import { XEN_4_17, XEN_4_20, type XenSeries } from './xen-series.ts';

/** Options of the arm64 hypervisor: Debian's own has no IOREQ servers. */
export const XEN_ARM64_CONFIG: string = asset('xen/arm64_defconfig');

const TARBALL = 'xen.orig.tar';

function source(series: XenSeries): Artefact {
  return {
    name: `xen-source-${series.name}`,
    title: `Source of Xen ${series.name}`,
    kind: 'fetch',
    inputs: { recipe: 1, source: 'xen', series: series.name },
    files: [TARBALL],
    async build({ out, work, debian }) {
      const version = new RegExp(`^${series.name.replace('.', '\\.')}\\.`);
      const wanted = { name: 'xen', version, suites: series.sourceSuites };
      copyFileSync(await debian.source(wanted, join(work, 'download')), join(out, TARBALL));
    },
  };
}

async function unpackAndBuild(from: Artefact, { out, work, run: options }: BuildContext) {
  const tree = join(work, 'source');
  mkdirSync(tree);
  const tarball = artefactFile(from, TARBALL);
  await run(['tar', '-C', tree, '--strip-components=1', '-xf', tarball], options);
  copyFileSync(await buildXen(tree, XEN_ARM64_CONFIG, options), join(out, 'xen'));
}

function fromSource(series: XenSeries): Artefact {
  const from = source(series);
  return {
    name: `xen-arm64-${series.name}`,
    title: `Xen ${series.name} (arm64)`,
    kind: 'build',
    needs: [from],
    inputs: { recipe: 2, source: from.inputs, config: XEN_ARM64_CONFIG },
    files: ['xen'],
    build: (context) => unpackAndBuild(from, context),
  };
}

function fromPackage(series: XenSeries): Artefact {
  const packages = [`xen-hypervisor-${series.name}-amd64`];
  return {
    name: `xen-x86_64-${series.name}`,
    title: `Xen ${series.name} (x86_64)`,
    kind: 'fetch',
    inputs: { recipe: 1, packages, suite: series.suites[0] },
    files: ['xen'],
    async build({ out, work, debian, run: options }) {
      const root = join(work, 'root');
      const { suites } = series;
      await debian.unpack({ packages, architecture: 'amd64', suites }, root);
      const compressed = findFile(join(root, 'boot'), /^xen-.*\.gz$/);
      const copy = join(work, basename(compressed));
      copyFileSync(compressed, copy);
      await run(['gunzip', copy], options);
      copyFileSync(copy.replace(/\.gz$/, ''), join(out, 'xen'));
    },
  };
}

/** arm64 hypervisors by series, built from Debian's source. */
export const XEN_ARM64: Readonly<Record<string, Artefact>> = {
  [XEN_4_17.name]: fromSource(XEN_4_17),
  [XEN_4_20.name]: fromSource(XEN_4_20),
};

/** x86_64 hypervisors by series, as Debian builds them. */
export const XEN_X86: Readonly<Record<string, Artefact>> = {
  [XEN_4_17.name]: fromPackage(XEN_4_17),
  [XEN_4_20.name]: fromPackage(XEN_4_20),
};
