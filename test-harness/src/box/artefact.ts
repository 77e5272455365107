import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { DebianArchive } from './debian-archive.ts';
import { ASSETS, cacheRoot } from './paths.ts';
import type { RunOptions } from './run-command.ts';

/** What a recipe gets to work with. */
export interface BuildContext {
  /** Empty directory; becomes the artefact when the recipe succeeds. */
  readonly out: string;
  /** Empty directory for intermediate files; removed afterwards. */
  readonly work: string;
  /** Options for `run`: the log file of this artefact, lines go to the heartbeat. */
  readonly run: RunOptions;
  readonly debian: DebianArchive;
}

/** One thing that setup makes and keeps, in a directory named by a hash of what goes into it. */
export interface Artefact {
  readonly name: string;
  /** What the user reads while it is made. */
  readonly title: string;
  /** Everything that decides about the content, in any JSON form. */
  readonly inputs: unknown;
  /** Files that are in the directory when it is complete. */
  readonly files: readonly string[];
  /** Made before this one, which uses them. */
  readonly needs?: readonly Artefact[];
  /** `fetch` waits for the network, any number at a time; `build` keeps all processors busy. */
  readonly kind: 'fetch' | 'build';
  /** An optional artefact may be absent; then this says why it is skipped, else undefined. */
  readonly skipReason?: () => string | undefined;
  build(context: BuildContext): Promise<void>;
}

/** The content of a file of `test-harness/box/`, to be used and to be hashed. */
export function asset(name: string): string {
  return readFileSync(join(ASSETS, name), 'utf8');
}

function exactDirectory(artefact: Artefact): string {
  const hash = createHash('sha256').update(JSON.stringify(artefact.inputs)).digest('hex');
  return join(cacheRoot(), `${artefact.name}-${hash.slice(0, 12)}`);
}

/** Names the older artefact that stands in for one that cannot be had any more. */
function standInFile(artefact: Artefact): string {
  return `${exactDirectory(artefact)}.stand-in`;
}

function isComplete(artefact: Artefact, directory: string): boolean {
  return artefact.files.every((file) => existsSync(join(directory, file)));
}

/** Directory of an artefact in the cache, or of its stand-in; it may not exist yet. */
export function artefactDirectory(artefact: Artefact): string {
  const exact = exactDirectory(artefact);
  if (isComplete(artefact, exact)) return exact;
  try {
    const other = join(cacheRoot(), readFileSync(standInFile(artefact), 'utf8'));
    if (isComplete(artefact, other)) return other;
  } catch {
    // No stand-in.
  }
  return exact;
}

/** Path of one file of an artefact. */
export function artefactFile(artefact: Artefact, file: string): string {
  return join(artefactDirectory(artefact), file);
}

/** True when the artefact is in the cache, by itself or by a stand-in. */
export function isBuilt(artefact: Artefact): boolean {
  return isComplete(artefact, artefactDirectory(artefact));
}

/** True when exactly this artefact is in the cache. */
export function isCurrent(artefact: Artefact): boolean {
  return isComplete(artefact, exactDirectory(artefact));
}

/** Directories of the cache that hold some version of an artefact, the newest first. */
function versionsOf(artefact: Artefact): string[] {
  const pattern = /^-[0-9a-f]{12}$/;
  return readdirSync(cacheRoot())
    .filter((name) => name.startsWith(artefact.name))
    .filter((name) => pattern.test(name.slice(artefact.name.length)))
    .filter((name) => isComplete(artefact, join(cacheRoot(), name)))
    .map((name) => ({ name, time: statSync(join(cacheRoot(), name)).mtimeMs }))
    .sort((a, b) => b.time - a.time)
    .map(({ name }) => name);
}

/**
 * Lets the newest artefact of the same name stand in for one that cannot be made: made of an older
 * upstream version or by an older recipe.
 *
 * @returns its directory, undefined when there is none
 */
export function useStandIn(artefact: Artefact): string | undefined {
  const [newest] = versionsOf(artefact);
  if (newest === undefined) return undefined;
  writeFileSync(standInFile(artefact), newest);
  return join(cacheRoot(), newest);
}

/**
 * Makes an artefact. It appears under its final name only when it is whole.
 *
 * @throws {BoxError} whatever the recipe throws; the work directory is then kept for inspection
 */
export async function buildArtefact(
  artefact: Artefact,
  debian: DebianArchive,
  onLine: (line: string) => void,
): Promise<void> {
  const final = exactDirectory(artefact);
  const temporary = `${final}.part`;
  rmSync(temporary, { recursive: true, force: true });
  const out = join(temporary, 'out');
  const work = join(temporary, 'work');
  mkdirSync(out, { recursive: true });
  mkdirSync(work);
  const log = join(cacheRoot(), 'logs', `${artefact.name}.log`);
  rmSync(log, { force: true });
  await artefact.build({ out, work, debian, run: { log, onLine } });
  writeFileSync(join(out, 'inputs.json'), `${JSON.stringify(artefact.inputs, null, 2)}\n`);
  rmSync(final, { recursive: true, force: true });
  renameSync(out, final);
  rmSync(standInFile(artefact), { force: true });
  rmSync(temporary, { recursive: true, force: true });
}
