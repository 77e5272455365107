import { closeSync, existsSync, lstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { BoxError } from './errors.ts';
import { type RunOptions, run } from './run-command.ts';

/** True for a file that begins like an ELF file. */
function isElf(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    const magic = Buffer.alloc(4);
    readSync(fd, magic, 0, 4, 0);
    return magic.equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46]));
  } finally {
    closeSync(fd);
  }
}

/** Directories that are `/usr`'s in an unpacked root, whatever a link's target says. */
const MERGED = /^(s?bin|lib|lib64)\//;

/** Follows links inside `root` (their targets may be absolute); lists every path on the way. */
export function followLinks(root: string, path: string): string[] {
  const trail = [path];
  let current = path;
  while (trail.length < 16 && lstatSync(join(root, current)).isSymbolicLink()) {
    const target = readlinkSync(join(root, current));
    current = normalize(target.startsWith('/') ? target.slice(1) : join(dirname(current), target));
    current = current.replace(MERGED, 'usr/$1/');
    trail.push(current);
  }
  return trail;
}

/**
 * The shared libraries, loader included, that programs of an unpacked root need.
 *
 * @param root - directory with the unpacked packages
 * @param programs - paths below `root`
 * @param libraryPaths - directories below `root` in which the loader looks
 * @returns paths below `root`, links included, without `programs`
 * @throws {BoxError} `MISSING_ARTEFACT` when a library is in none of the packages
 */
export async function libraryClosure(
  root: string,
  programs: readonly string[],
  libraryPaths: readonly string[],
  options: RunOptions,
): Promise<string[]> {
  const found = new Set<string>();
  const queue = [...programs];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const real = followLinks(root, path).at(-1) ?? path;
    if (!isElf(join(root, real))) continue;
    const text = await run(['readelf', '-d', '-l', '-W', join(root, real)], options);
    const needed = [...text.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map((match) => match[1] ?? '');
    const loader = /program interpreter: (.+)\]/.exec(text)?.[1];
    for (const name of loader ? [...needed, loader] : needed) {
      const candidates = name.includes('/')
        ? [name.slice(1), `usr${name}`]
        : libraryPaths.map((directory) => `${directory}/${name}`);
      const library = candidates.find((candidate) => existsSync(join(root, candidate)));
      if (library === undefined) {
        throw new BoxError(
          'MISSING_ARTEFACT',
          `Cannot make the root file system: ${path} needs ${name}, which no listed package has`,
        );
      }
      for (const step of followLinks(root, library)) {
        if (!found.has(step)) {
          found.add(step);
          queue.push(step);
        }
      }
    }
  }
  return [...found];
}
