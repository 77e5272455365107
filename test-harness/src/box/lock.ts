import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
        return () => rmSync(path, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const pid = holder(path);
      if (pid !== undefined && !isAlive(pid)) {
        rmSync(path, { force: true });
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
