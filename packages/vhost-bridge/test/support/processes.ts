import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';

/** Descriptors that this process has open. */
export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** True while a process exists, zombies included. */
export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** State and process group of a process, undefined when it is gone. */
function stat(pid: string): { readonly state: string; readonly group: number } | undefined {
  try {
    const [state, , group] =
      readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return { state: state ?? '', group: Number(group) };
  } catch {
    return undefined;
  }
}

/** The processes of a group that have not ended. */
export function groupMembers(group: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const found = stat(name);
      return found?.group === group && found.state !== 'Z';
    })
    .map(Number);
}
