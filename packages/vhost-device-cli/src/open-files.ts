import { readFileSync } from 'node:fs';
import { CliError } from './errors.ts';

// Measured, with something to spare: a process with Node's own threads has 19, a vring thread 7, a device
// that waits 2 to 4.
const PROCESS = 32;
const WORKER = 8;
const DEVICE = 6;
/** A connection, its area of requests in flight, its log of dirty pages, a transfer of state. */
const CONNECTION = 4;
/** Kick, call and error of one ring. */
const RING = 3;
/** The control socket, and those who are connected to it. */
const CONTROL = 18;
/** Memory regions of one message: those that every back-end takes, and most of them. */
const REGIONS = 8;
const REGIONS_MAX = 32;
/** Queues of a device that does not say how many it has. */
const QUEUES = 2;

/** What is served. */
export interface ServedFiles {
  /** Most queues of each device; undefined where that is not known. */
  readonly queues: readonly (number | undefined)[];
  readonly workers: number;
  readonly control: boolean;
  /** This process holds the front-ends' connections for another, with all that they passed. */
  readonly supervises?: boolean;
}

/** How many descriptors a process can need when each of its devices has a front-end. */
export function neededFiles({ queues, workers, control, supervises }: ServedFiles): number {
  const guests = queues.map((count = QUEUES) => {
    // A front-end may have a table of memory on its way whenever the others do.
    const own = DEVICE + CONNECTION + REGIONS + RING * count;
    // Descriptors are kept here, to be passed on once more.
    return supervises === true ? 2 * own + REGIONS_MAX : own;
  });
  const rest = PROCESS + WORKER * workers + (control ? CONTROL : 0) + REGIONS_MAX;
  return guests.reduce((sum, each) => sum + each, rest);
}

/**
 * How many descriptors this process may have. Node has raised the limit as far as it may be raised.
 *
 * @param limits - as /proc/self/limits has them; default those of this process
 * @returns infinity where it is not limited, or not known
 */
export function allowedFiles(limits: string = ownLimits()): number {
  const [, soft] = /^Max open files\s+(\d+)\s/m.exec(limits) ?? [];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}

/**
 * Checks that all that is served fits in this process: a guest that comes late must not find that it does
 * not.
 *
 * @throws {CliError} OPEN_FILES
 */
export function checkOpenFiles(served: ServedFiles, allowed: number = allowedFiles()): void {
  const needed = neededFiles(served);
  if (needed <= allowed) return;
  const guests = served.queues.length === 1 ? 'one guest' : `${served.queues.length} guests`;
  throw new CliError(
    'OPEN_FILES',
    `Cannot serve ${guests}: it can take ${needed} open files, and this process may have ${allowed}; raise the limit (ulimit -n ${needed}, of systemd LimitNOFILE=${needed}) or serve fewer`,
  );
}

function ownLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
