import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Fd } from '@node-vmm/vmm-sys-util';
import { placed } from '../placement.ts';
import type { Programs } from './programs.ts';

/** What the driver does, see `bench/c/driver.c`. */
export type Work = 'read' | 'paced' | 'loaded' | 'request' | 'direct';

/**
 * Who serves: in C, a thread or several of ours, or the main thread; `first`: with the priority that ours have by
 * default; `even`: with that of any program.
 */
export type Dispatcher = 'C' | 'threads' | 'main' | 'C first' | 'threads even';

/** What a dispatch thread has in a process that has 0. */
export const USUAL_NICE = -2;

/** Nanoseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly count: number;
  /** Accesses of all guests a second. */
  readonly rate: number;
}

/** What a run is made of. */
export interface RunParts {
  readonly programs: Programs;
  /** Of `Guests`, given to each program from 3 on. */
  readonly fds: readonly Fd[];
  readonly guests: number;
  readonly threads: number;
  /** Milliseconds of each measurement, and before it. */
  readonly length: number;
  readonly warmUp: number;
}

function start(parts: RunParts, cpu: number | undefined, line: readonly string[]): ChildProcess {
  const [command = '', ...args] = line;
  const [program = '', ...rest] = placed(cpu, command, args);
  return spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit', ...parts.fds] });
}

/** A dispatcher that serves, in a process of its own. */
export class Serving {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(
    parts: RunParts,
    dispatcher: Dispatcher,
    cpu: number | undefined,
  ): Promise<Serving> {
    const guests = `${parts.guests}`;
    const host = fileURLToPath(new URL('./host.js', import.meta.url));
    const threads = `${dispatcher === 'main' ? 0 : parts.threads}`;
    const first = dispatcher === 'C first' ? ['nice', '-n', `${USUAL_NICE}`] : [];
    const even = dispatcher === 'threads even' ? ['0'] : [];
    const line = dispatcher.startsWith('C')
      ? [...first, parts.programs.path('dispatcher'), guests, threads]
      : [process.execPath, host, guests, threads, ...even];
    const child = start(parts, cpu, line);
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`Cannot measure: the dispatcher (${dispatcher}) has ended with ${code}`);
    });
    await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), ended]);
    ended.catch(() => undefined);
    return new Serving(child);
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

/** Milliseconds after which a driver that is not answered is ended. */
const PATIENCE_MS = 60_000;

/** Drives whoever serves. */
export async function drive(
  parts: RunParts,
  work: Work,
  cpu: number | undefined,
): Promise<Latency> {
  const { programs, guests, warmUp, length } = parts;
  const line = [programs.path('driver'), `${guests}`, work, `${warmUp}`, `${length}`];
  const child = start(parts, cpu, line);
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += String(chunk);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  if (code !== 0)
    throw new Error(`Cannot measure: the driver (${work}) ended with ${code ?? signal}`);
  const [p50 = Number.NaN, p99 = Number.NaN, count = 0, others = 0] = output.split(' ').map(Number);
  return { p50, p99, count, rate: (1000 * (count + others)) / length };
}
