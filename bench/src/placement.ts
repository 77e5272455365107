import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Which processor each side of a benchmark runs on. */
export interface Placement {
  readonly name: string;
  readonly daemon: number | undefined;
  readonly driver: number | undefined;
}

/** Processors that this process may use. */
function allowedCpus(): number[] {
  const status = readFileSync('/proc/self/status', 'utf8');
  const list = /^Cpus_allowed_list:\s+(.*)$/m.exec(status)?.[1] ?? '';
  return list.split(',').flatMap((part) => {
    const [from = Number.NaN, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

/**
 * All ways to place two processes that matter: on one core, whose turns they take, and on two, of which
 * each wakes the other up. Without `taskset` where the scheduler puts them.
 */
export function placements(): Placement[] {
  const [first, second] = allowedCpus();
  if (first === undefined || spawnSync('taskset', ['--version']).status !== 0) {
    return [{ name: 'any core', daemon: undefined, driver: undefined }];
  }
  const same = { name: 'same core', daemon: first, driver: first };
  if (second === undefined) return [same];
  return [same, { name: 'different cores', daemon: first, driver: second }];
}

/** A command line that runs there: `taskset` sets the affinity and becomes the command. */
export function placed(
  cpu: number | undefined,
  command: string,
  args: readonly string[],
): string[] {
  const line = [command, ...args];
  return cpu === undefined ? line : ['taskset', '-c', String(cpu), ...line];
}
