import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { type ElfFile, readElf } from './elf-file.ts';
import { BoxError } from './errors.ts';

/** Xen's own programs that dom0 runs. */
const PROGRAMS = ['xenconsole', 'xenconsoled', 'xen-diag', 'xen-init-dom0', 'xenstored', 'xl'];
/** A library, by whatever of its names. */
const LIBRARY = /^lib[\w+-]+\.so(\.\d+)*$/;
/** Libraries that come with Xen; all others are Debian's. */
const OF_XEN = /^lib(xen|xlutil)/;
/** What the versions of libraries without a stable interface begin with: the series. */
const OF_SERIES = /^libxenlight\.so\.(\d+\.\d+)/;

/** An unpacked root with tools of Xen, of the user's. */
export interface OwnTools {
  /** Paths by the programs' names. */
  readonly programs: ReadonlyMap<string, string>;
  /** Paths by the libraries' names. */
  readonly libraries: ReadonlyMap<string, string>;
}

/** Every file below a directory, in the order of their names; links not followed. */
function* filesBelow(directory: string): Generator<string> {
  const entries = readdirSync(directory, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

/** A link may lead to nowhere, or out of the root: an absolute one means this machine's own files. */
function elfBelow(root: string, path: string): ElfFile | undefined {
  if (!existsSync(path) || !realpathSync(path).startsWith(`${root}${sep}`)) return undefined;
  return statSync(path).isFile() ? readElf(path) : undefined;
}

/** True for a library of Xen's: dom0 has it from the user's root, whatever Debian has by that name. */
export function isOfXen(library: string): boolean {
  return OF_XEN.test(library);
}

/**
 * Finds Xen's programs and all libraries in an unpacked root, and that they go with a hypervisor.
 *
 * @param root - as `box:setup -- --tools DIR` was told
 * @param series - of the hypervisor, e.g. `4.18`
 * @throws {BoxError} `BAD_OPTION` when something is missing, of another architecture or of another series
 */
export function findOwnTools(root: string, series: string): OwnTools {
  const bad = (state: string): BoxError =>
    new BoxError('BAD_OPTION', `Cannot use ${root} as --tools: ${state}`);
  if (!existsSync(root)) throw bad('there is no such directory');
  if (!statSync(root).isDirectory()) throw bad('it is no directory');
  const real = realpathSync(root);
  const programs = new Map<string, string>();
  const libraries = new Map<string, string>();
  const foreign: string[] = [];
  const needs = new Map<string, readonly string[]>();
  for (const path of filesBelow(root)) {
    const name = basename(path);
    const isLibrary = LIBRARY.test(name);
    // Some distributions put scripts of the same name in front of them.
    if (!isLibrary && !(PROGRAMS.includes(name) && /\/s?bin\//.test(path))) continue;
    const elf = elfBelow(real, path);
    if (elf === undefined) continue;
    if (elf.architecture !== 'arm64') {
      if (!isLibrary || isOfXen(name)) foreign.push(name);
      continue;
    }
    (isLibrary ? libraries : programs).set(name, path);
    if (!isLibrary || isOfXen(name)) needs.set(name, elf.needed);
  }
  const missing = PROGRAMS.filter((name) => !programs.has(name));
  const [other] = missing.filter((name) => foreign.includes(name));
  if (other !== undefined) throw bad(`${other} in it is not for arm64`);
  if (missing.length > 0) throw bad(`no ${missing.join(', ')} in it`);

  const wanted = [...new Set([...needs.values()].flat())].filter(isOfXen);
  const lost = wanted.filter((name) => !libraries.has(name)).sort();
  if (lost.length > 0) {
    const user = [...needs].find(([, needed]) => needed.includes(lost[0] as string))?.[0];
    throw bad(`no ${lost.join(', ')} for arm64 in it, which ${user} needs`);
  }
  const [of] = wanted.flatMap((name) => OF_SERIES.exec(name)?.[1] ?? []);
  if (of !== undefined && of !== series) {
    throw bad(`its tools are of Xen ${of}, and the hypervisor is ${series}; both must be of one`);
  }
  return { programs, libraries };
}
