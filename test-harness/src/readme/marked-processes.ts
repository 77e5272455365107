import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The variable of the environment that every process of a run inherits, however it was started. */
export const RUN_MARK = 'NODE_VMM_README_RUN';

export interface MarkedProcess {
  readonly pid: number;
  /** Empty for one that has ended and that nobody waited for. */
  readonly command: string;
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // It ended meanwhile, or is somebody else's.
    return '';
  }
}

/**
 * The processes of this machine that carry the mark. Parents do not matter: a daemon that was left behind
 * has another one by then.
 */
export function markedProcesses(mark: string): MarkedProcess[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && read(pid, 'environ').split('\0').includes(`${RUN_MARK}=${mark}`))
    .map((pid) => ({ pid, command: read(pid, 'cmdline').replaceAll('\0', ' ').trim() }));
}

/** Those that are still there after `limitMs`: what is just ending is not left behind. */
export async function leftBehind(mark: string, limitMs = 15_000): Promise<MarkedProcess[]> {
  const end = Date.now() + limitMs;
  let present = markedProcesses(mark);
  while (present.length > 0 && Date.now() < end) {
    await sleep(100);
    present = markedProcesses(mark);
  }
  return present;
}
