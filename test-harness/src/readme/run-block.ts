import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { delimiter } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { leftBehind, type MarkedProcess, RUN_MARK } from './marked-processes.ts';

const OUTPUT_LIMIT = 64 * 1024;
/** How long to wait for the end of what was printed, where somebody unknown holds the pipes. */
const OUTPUT_MS = 5000;

export interface Run {
  readonly code: number | null;
  readonly signal: string | null;
  /** Both streams as they came, the first 64 KiB. */
  readonly output: string;
  /** What it started and did not end; is ended by now. */
  readonly left: readonly MarkedProcess[];
}

export interface Running {
  /** Asks the program to end, or ends it by SIGKILL. */
  end(signal?: NodeJS.Signals): void;
  /** What it has printed until now, the first 64 KiB. */
  output(): string;
  readonly ended: Promise<Run>;
}

function environment(mark: string, bin: string): NodeJS.ProcessEnv {
  // Those of the test runner would make a program believe that it is under test.
  const own = Object.entries(process.env).filter(([name]) => !/^(VITEST|TEST$|NODE_)/.test(name));
  const path = `${bin}${delimiter}${process.env['PATH'] ?? ''}`;
  return { ...Object.fromEntries(own), PATH: path, [RUN_MARK]: mark };
}

function endNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

/** Starts a program with the commands in `bin`; ended by force after `limitMs`. */
export function start(
  command: readonly [string, ...string[]],
  { cwd, bin, limitMs = 100_000 }: { cwd: string; bin: string; limitMs?: number },
): Running {
  const mark = randomUUID();
  const [program, ...args] = command;
  const child = spawn(program, args, {
    cwd,
    env: environment(mark, bin),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < OUTPUT_LIMIT) output += text;
    });
  }
  const read = Promise.all(
    [child.stdout, child.stderr].map(
      (stream) => new Promise((resolve) => stream.once('close', resolve)),
    ),
  );
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const ended = new Promise<Run>((resolve, reject) => {
    child.on('error', reject);
    // Not `close`: who is left behind may hold the pipes.
    child.on('exit', async (code, signal) => {
      clearTimeout(timer);
      const left = await leftBehind(mark);
      for (const { pid } of left) endNow(pid);
      // What was printed last may still be in the pipes.
      await Promise.race([read, sleep(OUTPUT_MS, undefined, { ref: false })]);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ code, signal, output, left });
    });
  });
  return {
    end: (signal = 'SIGTERM') => void child.kill(signal),
    output: () => output,
    ended,
  };
}
