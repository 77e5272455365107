import {
  cpSync,
  existsSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { TRIPLETS } from './architecture.ts';
import type { Artefact } from './artefact.ts';
import {
  debianTools,
  dom0RootFileSystem,
  GUESTS,
  KERNELS,
  NPM_NODE,
  type ToolsOrigin,
  XEN_4_20,
  XEN_ARM64_CONFIG,
  XEN_SERIES,
} from './artefacts/index.ts';
import type { Bed } from './bed.ts';
import { BoxError } from './errors.ts';
import { findOwnTools, isOfXen } from './own-tools.ts';
import { cacheRoot } from './paths.ts';
import { run } from './run-command.ts';
import { buildXen } from './xen-build.ts';

/** A hypervisor of the user's own, as `box:setup -- --xen PATH` was told. */
export interface OwnXen {
  /** Binary or source tree. */
  readonly path: string;
  /** Unpacked root with the tools of the same series; default Debian's. */
  readonly tools?: string;
  /** Release series, e.g. `4.20`. */
  readonly series: string;
  /** Tells one setup from another: the path may hold something else by then. */
  readonly stamp: number;
}

const PROGRAMS = 'usr/lib/xen-own/bin';

function ownFile(): string {
  return join(cacheRoot(), 'own-xen.json');
}

/** The version that a source tree's Makefile says: `4.20`. */
function seriesOfTree(path: string): string | undefined {
  const text = readFileSync(join(path, 'xen/Makefile'), 'utf8');
  const major = /^(?:export )?XEN_VERSION\s*:?=\s*(\d+)/m.exec(text)?.[1];
  const minor = /^(?:export )?XEN_SUBVERSION\s*:?=\s*(\d+)/m.exec(text)?.[1];
  return major === undefined || minor === undefined ? undefined : `${major}.${minor}`;
}

/** The version in what every arm64 hypervisor tells dom0 by its device tree: `xen,xen-4.20`. */
export function seriesOfBinary(bytes: Buffer): string | undefined {
  return /xen,xen-(\d+\.\d+)\0/.exec(bytes.toString('latin1'))?.[1];
}

/**
 * Looks at a hypervisor of the user's own and remembers it, for this and later runs.
 *
 * @param path - arm64 binary or source tree
 * @param tools - unpacked root with tools of that series
 * @throws {BoxError} `BAD_OPTION` when it is no hypervisor, or when tools of its series are missing or no
 * such tools: see {@link findOwnTools}
 */
export function rememberOwnXen(path: string, tools: string | undefined): OwnXen {
  const bad = (state: string): BoxError =>
    new BoxError('BAD_OPTION', `Cannot use ${path}: ${state}`);
  if (!existsSync(path)) throw bad('there is no such file');
  const isTree = statSync(path).isDirectory();
  if (isTree && !existsSync(join(path, 'xen/Makefile'))) throw bad('it is no source tree of Xen');
  const series = isTree ? seriesOfTree(path) : seriesOfBinary(readFileSync(path));
  if (series === undefined)
    throw bad('it does not say which version of Xen it is, as hypervisors for arm64 do');
  if (tools === undefined && !XEN_SERIES.some(({ name }) => name === series)) {
    throw bad(
      `its tools are missing: it is Xen ${series}, Debian has those of ` +
        `${XEN_SERIES.map(({ name }) => name).join(' and ')}; give --tools <unpacked root>`,
    );
  }
  if (tools !== undefined) findOwnTools(tools, series);
  const own: OwnXen = {
    path,
    series,
    stamp: Date.now(),
    ...(tools === undefined ? {} : { tools }),
  };
  writeFileSync(ownFile(), `${JSON.stringify(own, null, 2)}\n`);
  return own;
}

function ownTools({ tools: root = '', series, stamp }: OwnXen): ToolsOrigin {
  const base = debianTools(XEN_4_20, 'arm64');
  return {
    name: 'own',
    inputs: { recipe: 2, root, stamp, base: base.inputs },
    programs: PROGRAMS,
    async unpack(target, context) {
      const { programs, libraries } = findOwnTools(root, series);
      // Everything that is not Xen's comes from Debian: its loader takes no other C library.
      await base.unpack(target, context);
      for (const [name, path] of libraries) {
        const place = join(target, 'usr/lib', TRIPLETS.arm64, name);
        if (!isOfXen(name) && existsSync(place)) continue;
        rmSync(place, { force: true });
        cpSync(realpathSync(path), place);
      }
      for (const [name, path] of programs) cpSync(realpathSync(path), join(target, PROGRAMS, name));
    },
  };
}

function ownHypervisor({ path, series, stamp }: OwnXen): Artefact {
  return {
    name: 'xen-arm64-own',
    title: `Xen ${series} (arm64, ${path})`,
    kind: 'build',
    inputs: { recipe: 1, path, stamp, config: XEN_ARM64_CONFIG },
    files: ['xen'],
    async build({ out, work, run: options }) {
      const result = join(out, 'xen');
      if (!statSync(path).isDirectory()) {
        cpSync(path, result);
        return;
      }
      const tree = join(work, 'source');
      await run(['cp', '-a', path, tree], options);
      cpSync(await buildXen(tree, XEN_ARM64_CONFIG, options), result);
    },
  };
}

/** The bed of the user's own hypervisor, undefined when none was given. */
export function readOwnBed(): Bed | undefined {
  if (!existsSync(ownFile())) return undefined;
  const own = JSON.parse(readFileSync(ownFile(), 'utf8')) as OwnXen;
  const series = XEN_SERIES.find(({ name }) => name === own.series) ?? XEN_4_20;
  const tools = own.tools === undefined ? debianTools(series, 'arm64') : ownTools(own);
  const [, minor = 0] = own.series.split('.').map(Number);
  // xl has `virtio = [ ... ]` since 4.18.
  const xlVirtio = minor >= 18;
  return {
    name: 'arm64-own',
    architecture: 'arm64',
    series: own.series,
    announcement: xlVirtio ? 'virtio' : 'disk',
    features: ['guest-devices', 'kernel-notification', 'outer-i2c'],
    xen: ownHypervisor(own),
    dom0: dom0RootFileSystem(tools, 'arm64'),
    kernel: KERNELS.arm64,
    guest: GUESTS.arm64,
    node: NPM_NODE.arm64,
  };
}
