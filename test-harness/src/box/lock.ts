import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 500;

function holder(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes the lock if it is still `pid`'s: others may have removed and taken it meanwhile. */
function removeLock(path: string, pid: number): void {
  if (holder(path) !== pid) return;
  const taken = `${path}.${process.pid}.taken`;
  try {
    // Atomic: of several that do this, each knows what it took.
    renameSync(path, taken);
    if (holder(taken) !== pid) linkSync(taken, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  } finally {
    rmSync(taken, { force: true });
  }
}

/**
 * Takes a lock between processes: a file with the holder's pid. A lock whose holder is dead is
 * taken over.
 *
 * @param path - the lock file
 * @param onWait - called once, with the holder's pid, when somebody else has it
 * @returns a function that releases the lock
 */
export async function takeLock(
  path: string,
  onWait: (pid: number) => void = () => {},
): Promise<() => void> {
  mkdirSync(dirname(path), { recursive: true });
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  let told = false;
  try {
    for (;;) {
      try {
        // link(2) is atomic and, unlike O_EXCL, shows the pid at the same instant.
        linkSync(mine, path);
        return () => removeLock(path, process.pid);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const pid = holder(path);
      if (pid !== undefined && !isAlive(pid)) {
        removeLock(path, pid);
        continue;
      }
      if (pid !== undefined && !told) {
        told = true;
        onWait(pid);
      }
      await sleep(POLL_MS);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}
