import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { BoxError } from './errors.ts';
import { tailOf } from './tail.ts';

/** How to run a command of the host. */
export interface RunOptions {
  /** Everything that the command prints is appended to this file. */
  readonly log: string;
  readonly cwd?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called for each line that the command prints; for progress. */
  readonly onLine?: (line: string) => void;
}

/** What a command that is expected to succeed printed on stdout. */
export interface RunResult {
  readonly stdout: string;
  readonly code: number;
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGTERM');
  } catch {
    // It has ended.
  }
}

/**
 * Runs a command of the host with its output in a log file. It does not outlive this process, unless
 * that is killed.
 *
 * @returns exit code and stdout; a non-zero code is the caller's to judge
 * @throws {BoxError} `MISSING_TOOL` when there is no such program
 */
export async function tryRun(argv: readonly string[], options: RunOptions): Promise<RunResult> {
  const [program = '', ...args] = argv;
  mkdirSync(dirname(options.log), { recursive: true });
  const log = createWriteStream(options.log, { flags: 'a' });
  log.write(`$ ${argv.join(' ')}\n`);
  const child = spawn(program, args, {
    cwd: options.cwd,
    // A log must read the same everywhere.
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that it can be ended with all that it has started.
    detached: true,
  });
  const end = (): void => endGroup(child.pid);
  process.on('exit', end);
  let stdout = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      log.write(text);
      if (stream === child.stdout) stdout += text;
      if (options.onLine) for (const line of text.trimEnd().split('\n')) options.onLine(line);
    });
  }
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    if (signal !== null) log.write(`(ended by ${signal})\n`);
    return { stdout, code: code ?? 128 };
  } catch (cause) {
    throw new BoxError(
      'MISSING_TOOL',
      `Cannot run ${program}: ${(cause as Error).message}; run \`npm run box:setup\``,
      { cause },
    );
  } finally {
    process.off('exit', end);
    // Whoever quotes the log wants all of it.
    await new Promise((resolve) => log.end(resolve));
  }
}

/**
 * Runs a command of the host that has to succeed.
 *
 * @returns its stdout
 * @throws {BoxError} `BUILD_FAILED` with the end of the log, `MISSING_TOOL`
 */
export async function run(argv: readonly string[], options: RunOptions): Promise<string> {
  const { stdout, code } = await tryRun(argv, options);
  if (code !== 0) {
    throw new BoxError(
      'BUILD_FAILED',
      `Cannot run \`${argv.slice(0, 4).join(' ')} ...\`: exit code ${code}`,
      { details: `--- end of ${options.log} ---\n${tailOf(options.log)}` },
    );
  }
  return stdout;
}
