import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Apt } from './apt.ts';
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
  /** The Debian release from which everything in the box comes. */
  readonly apt: Apt;
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
  /** An optional artefact may be absent; then this says why it is skipped, else undefined. */
  readonly skipReason?: () => string | undefined;
  build(context: BuildContext): Promise<void>;
}

/** The content of a file of `test-harness/box/`, to be used and to be hashed. */
export function asset(name: string): string {
  return readFileSync(join(ASSETS, name), 'utf8');
}

/** Directory of an artefact in the cache; it may not exist yet. */
export function artefactDirectory(artefact: Artefact): string {
  const hash = createHash('sha256').update(JSON.stringify(artefact.inputs)).digest('hex');
  return join(cacheRoot(), `${artefact.name}-${hash.slice(0, 12)}`);
}

/** Path of one file of an artefact. */
export function artefactFile(artefact: Artefact, file: string): string {
  return join(artefactDirectory(artefact), file);
}

/** True when the artefact is in the cache. */
export function isBuilt(artefact: Artefact): boolean {
  return artefact.files.every((file) => existsSync(artefactFile(artefact, file)));
}

/**
 * Makes an artefact. It appears under its final name only when it is whole.
 *
 * @throws {BoxError} whatever the recipe throws; the work directory is then kept for inspection
 */
export async function buildArtefact(
  artefact: Artefact,
  apt: Apt,
  onLine: (line: string) => void,
): Promise<void> {
  const final = artefactDirectory(artefact);
  const temporary = `${final}.part`;
  rmSync(temporary, { recursive: true, force: true });
  const out = join(temporary, 'out');
  const work = join(temporary, 'work');
  mkdirSync(out, { recursive: true });
  mkdirSync(work);
  const log = join(cacheRoot(), 'logs', `${artefact.name}.log`);
  rmSync(log, { force: true });
  await artefact.build({ out, work, apt, run: { log, onLine } });
  writeFileSync(join(out, 'inputs.json'), `${JSON.stringify(artefact.inputs, null, 2)}\n`);
  rmSync(final, { recursive: true, force: true });
  renameSync(out, final);
  rmSync(temporary, { recursive: true, force: true });
}
