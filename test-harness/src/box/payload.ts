import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { artefactFile } from './artefact.ts';
import { KOFFI_NATIVE } from './artefacts/index.ts';
import type { Bed } from './bed.ts';
import type { CpioWriter } from './cpio.ts';
import { BoxError } from './errors.ts';
import { HARNESS_ROOT, WORKSPACE_ROOT } from './paths.ts';
import { dependencyClosure, type PlacedPackage, readManifest } from './workspace-closure.ts';

/** Packages of the workspace that dom0 gets by default, with their commands. */
export const DOM0_PACKAGES: readonly string[] = [
  'apps/xen-vhost-master',
  'packages/vhost-device-i2c',
];

/** Where the code under test is in dom0. */
export const DOM0_ROOT = '/opt/node-vmm';

/** Code and files to put into dom0. */
export interface Payload {
  /** Directories of workspace packages; those that are not built yet are left out. */
  readonly packages?: readonly string[];
  /** Path in dom0 -> file or directory of this machine. */
  readonly files?: Readonly<Record<string, string>>;
}

// Of no use at run time. Nothing more: koffi's own modules are under `src`.
const UNUSED = /(^|\/)(node_modules|.*\.d\.[cm]?ts|.*\.map|.*\.md)$/;

function isBuilt(directory: string): boolean {
  return existsSync(join(WORKSPACE_ROOT, directory, 'dist'));
}

function addCommands(archive: CpioWriter, { manifest, path }: PlacedPackage): void {
  const { name, bin = {} } = manifest;
  const base = name.slice(name.lastIndexOf('/') + 1);
  for (const [command, file] of Object.entries(typeof bin === 'string' ? { [base]: bin } : bin)) {
    const target = `${DOM0_ROOT}/${join(path, file)}`;
    archive.file(`usr/bin/${command}`, `#!/bin/sh\nexec node ${target} "$@"\n`, 0o755);
  }
}

/**
 * Adds the harness's programs, and packages with their dependencies and commands.
 *
 * @param directories - of workspace packages, which are built
 * @param node - Node.js and koffi's native code for the architecture
 * @throws {BoxError} `MISSING_ARTEFACT` when the harness itself is not built
 */
export function writePackages(
  archive: CpioWriter,
  directories: readonly string[],
  { architecture, node }: Pick<Bed, 'architecture' | 'node'>,
): void {
  const agent = join(HARNESS_ROOT, 'dist/box/agent');
  if (!existsSync(join(agent, 'dom0-agent.js'))) {
    throw new BoxError(
      'MISSING_ARTEFACT',
      `Cannot pack dom0's agent: no ${agent}; run \`pnpm build\``,
    );
  }
  archive.file(`${DOM0_ROOT}/package.json`, '{ "private": true, "type": "module" }\n');
  archive.copy(`${DOM0_ROOT}/box`, agent, (path) => path === '' || path.endsWith('.js'));
  for (const item of dependencyClosure(directories.map((name) => join(WORKSPACE_ROOT, name)))) {
    archive.copy(`${DOM0_ROOT}/${item.path}`, item.directory, (path) => !UNUSED.test(path));
    addCommands(archive, item);
    if (item.manifest.name === 'koffi') {
      const native = KOFFI_NATIVE[architecture];
      archive.copy(`${DOM0_ROOT}/node_modules/@koromix/${native}`, artefactFile(node, native));
    }
  }
}

/**
 * Adds the agent, the code under test with its dependencies and commands, and other files.
 *
 * @returns names of the workspace packages that were left out because they are not built
 * @throws {BoxError} `MISSING_ARTEFACT` when the harness itself is not built
 */
export function writePayload(archive: CpioWriter, bed: Bed, payload: Payload): string[] {
  const { packages = DOM0_PACKAGES, files = {} } = payload;
  const built = packages.filter(isBuilt);
  writePackages(archive, built, bed);
  for (const [path, source] of Object.entries(files)) archive.copy(path, source);
  return packages
    .filter((name) => !isBuilt(name))
    .map((name) => readManifest(join(WORKSPACE_ROOT, name)).name);
}
