// The packages of this workspace, from the globs of pnpm-workspace.yaml: the one list that every script,
// check and test asks. It imports nothing but Node's own, since `npm start` asks before it has installed
// anything.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * @typedef {object} Manifest what is read of a package.json
 * @property {string} name
 * @property {string} version
 * @property {boolean} [private]
 * @property {Record<string, string>} [bin]
 * @property {Record<string, string | Record<string, string>>} [exports]
 * @property {Record<string, string>} [dependencies]
 * @property {Record<string, string>} [optionalDependencies]
 * @property {Record<string, string>} [peerDependencies]
 *
 * @typedef {object} WorkspacePackage
 * @property {string} name
 * @property {string} path from the root of the workspace: `packages/xen-sys`
 * @property {string} directory
 * @property {Manifest & Record<string, unknown>} manifest
 * @property {boolean} published whether npm gets it: not `private`
 */

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/**
 * The globs under `packages:`. Only the YAML that the file is written in: a plain block list.
 *
 * @param {string} directory
 * @returns {string[]}
 * @throws {Error} when there is no list, or an entry of another form
 */
export function workspaceGlobs(directory = root) {
  const file = join(directory, 'pnpm-workspace.yaml');
  const [, list] =
    /^packages:\n((?:[ \t]+.*\n|[ \t]*#.*\n|\n)*)/m.exec(readFileSync(file, 'utf8')) ?? [];
  if (list === undefined) throw new Error(`Cannot read ${file}: no list of packages`);
  return list
    .split('\n')
    .filter((line) => !/^\s*(#.*)?$/.test(line))
    .map((line) => {
      const [, glob] = /^\s+- ["']?([\w./-]+(?:\/\*)?)["']?\s*(?:#.*)?$/.exec(line) ?? [];
      if (glob === undefined) {
        throw new Error(
          `Cannot read ${file}: \`${line.trim()}\` is neither DIRECTORY nor DIRECTORY/*`,
        );
      }
      return glob;
    });
}

function directoriesOf(directory, glob) {
  if (!glob.endsWith('/*')) return [glob];
  const group = glob.slice(0, -2);
  if (!existsSync(join(directory, group))) return [];
  return readdirSync(join(directory, group)).map((name) => `${group}/${name}`);
}

/**
 * Every package but the root, by path.
 *
 * @param {string} directory
 * @returns {WorkspacePackage[]}
 * @throws {Error} as `workspaceGlobs`
 */
export function workspacePackages(directory = root) {
  return workspaceGlobs(directory)
    .flatMap((glob) => directoriesOf(directory, glob))
    .filter((path) => existsSync(join(directory, path, 'package.json')))
    .sort()
    .map((path) => {
      const manifest = readJson(join(directory, path, 'package.json'));
      return {
        name: manifest.name,
        path,
        directory: join(directory, path),
        manifest,
        published: manifest.private !== true,
      };
    });
}

/**
 * The packages of the workspace that one needs at run time.
 *
 * @param {WorkspacePackage} subject
 * @param {readonly WorkspacePackage[]} packages
 * @returns {WorkspacePackage[]}
 */
export function workspaceDependencies({ manifest }, packages) {
  const { dependencies, optionalDependencies, peerDependencies } = manifest;
  const names = new Set(
    Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }),
  );
  return packages.filter(({ name }) => names.has(name));
}
