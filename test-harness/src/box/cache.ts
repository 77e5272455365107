import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { type Artefact, artefactDirectory } from './artefact.ts';
import { cacheRoot } from './paths.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
/** What nobody has used for so long is removed. */
const KEEP_DAYS = 30;
const USERS = '.users';

let marked: Set<string> | undefined;

/** Marks an artefact as used by this process until it ends, and as used now. */
export function markUsed(artefact: Artefact): void {
  const directory = artefactDirectory(artefact);
  const mark = join(directory, USERS, String(process.pid));
  mkdirSync(join(directory, USERS), { recursive: true });
  writeFileSync(mark, '');
  const now = new Date();
  utimesSync(directory, now, now);
  if (marked === undefined) {
    const marks = new Set<string>();
    marked = marks;
    process.on('exit', () => {
      for (const path of marks) rmSync(path, { force: true });
    });
  }
  marked.add(mark);
}

function isUsed(directory: string): boolean {
  try {
    return readdirSync(join(directory, USERS)).some((pid) => existsSync(`/proc/${pid}`));
  } catch {
    return false;
  }
}

/**
 * Removes artefacts that have not been used for {@link KEEP_DAYS}, and what interrupted setups left;
 * never one that a process uses, that belongs to `current`, or that stands in for another.
 *
 * @returns names of what was removed
 */
export function pruneCache(current: readonly Artefact[], now: number = Date.now()): string[] {
  const root = cacheRoot();
  const names = readdirSync(root);
  const kept = new Set(current.map((artefact) => basename(artefactDirectory(artefact))));
  for (const name of names.filter((entry) => entry.endsWith('.stand-in'))) {
    kept.add(readFileSync(join(root, name), 'utf8'));
  }
  const removed: string[] = [];
  for (const name of names) {
    if (!/-[0-9a-f]{12}(\.part)?$/.test(name) || kept.has(name)) continue;
    const path = join(root, name);
    const age = now - statSync(path).mtimeMs;
    const limit = name.endsWith('.part') ? DAY_MS : KEEP_DAYS * DAY_MS;
    if (age < limit || isUsed(path)) continue;
    rmSync(path, { recursive: true, force: true });
    removed.push(name);
  }
  return removed;
}
