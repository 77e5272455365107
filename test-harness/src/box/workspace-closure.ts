import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BoxError } from './errors.ts';

/** What is used of a package.json. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin?: string | Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** One package at its place in a `node_modules` tree. */
export interface PlacedPackage {
  readonly manifest: Manifest;
  /** Where it is on this machine, links resolved. */
  readonly directory: string;
  /** Where it goes: `node_modules/<name>`, nested when another version has that place. */
  readonly path: string;
}

/** Reads a package's manifest. */
export function readManifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
}

/** Node's own look-up, starting in a package's real directory. */
function resolvePackage(name: string, from: string): string {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return realpathSync(candidate);
    if (directory === dirname(directory)) {
      throw new BoxError(
        'MISSING_ARTEFACT',
        `Cannot pack ${from}: its dependency ${name} is not installed; run \`npm test\` or \`pnpm install\``,
      );
    }
  }
}

/**
 * The production dependency closure of some packages, laid out as one `node_modules` tree.
 * Optional dependencies are left out: they are native code of this machine.
 *
 * @param directories - packages to begin with
 * @throws {BoxError} `MISSING_ARTEFACT` when a dependency is not installed
 */
export function dependencyClosure(directories: readonly string[]): PlacedPackage[] {
  const placed = new Map<string, PlacedPackage>();
  const place = (directory: string, parent: string): void => {
    const manifest = readManifest(directory);
    const top = placed.get(`node_modules/${manifest.name}`);
    if (top?.directory === directory) return;
    const path = `${top === undefined ? '' : `${parent}/`}node_modules/${manifest.name}`;
    if (placed.has(path)) return;
    placed.set(path, { manifest, directory, path });
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      place(resolvePackage(name, directory), path);
    }
  };
  for (const directory of directories) place(realpathSync(directory), '');
  return [...placed.values()];
}
