import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  type WriteStream,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import { type Deferred, deferred } from './deadline.ts';
import { BoxError } from './errors.ts';
import { cacheRoot } from './paths.ts';
import { tailsOf } from './tail.ts';

const running = new Set<Machine>();
let hooked = false;

const KEPT_RUNS = 50;
const SOCKET_TIMEOUT_MS = 15_000;

/** Makes room: only the newest runs stay. */
function pruneRuns(): void {
  const root = join(cacheRoot(), 'runs');
  for (const old of readdirSync(root).sort().slice(0, -KEPT_RUNS)) {
    rmSync(join(root, old), { recursive: true, force: true });
  }
}

const SCRATCH = /^nvbox-(\d+)-/;

/** Removes what machines left behind whose process was killed. */
function pruneScratch(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = SCRATCH.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
}

/** Bytes that the names of sockets in a scratch directory need, and its own. */
const SOCKET_NAME_BYTES = 50;

/** QEMU alone would say so, at the end of a page. */
function checkTemporaryDirectory(): void {
  const directory = tmpdir();
  if (Buffer.byteLength(directory) + SOCKET_NAME_BYTES <= UNIX_PATH_MAX) return;
  throw new BoxError(
    'BAD_ENVIRONMENT',
    `Cannot make sockets below ${directory}: their paths would be too long; set TMPDIR to a directory with at most ${UNIX_PATH_MAX - SOCKET_NAME_BYTES} bytes`,
  );
}

/** `2026-11-21T10-31-02-123-<pid>-<name>`: sorts by time, tells processes apart. */
function runDirectory(name: string): string {
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-').replace('Z', '');
  return join(cacheRoot(), 'runs', `${stamp}-${process.pid}-${name}`);
}

/**
 * One QEMU process with its serial console on stdin and stdout, a directory for logs and one for
 * sockets. It never outlives this process.
 */
export class Machine {
  /** Directory of the logs of this run; stays. */
  readonly runDirectory: string;
  /** Short path for sockets and other files that go when the machine goes. */
  readonly scratch: string;
  readonly #logs: string[] = [];
  readonly #gone: Deferred<never> = deferred();
  readonly #onConsole = new Set<(data: Buffer) => void>();
  #child: ChildProcessWithoutNullStreams | undefined;
  #closed: Promise<void> | undefined;
  #stopping = false;

  /** @param name - goes into the name of the run directory */
  constructor(name: string) {
    checkTemporaryDirectory();
    this.runDirectory = runDirectory(name);
    mkdirSync(this.runDirectory, { recursive: true });
    pruneRuns();
    pruneScratch();
    this.scratch = mkdtempSync(join(tmpdir(), `nvbox-${process.pid}-`));
  }

  /** Rejects when QEMU is gone although nobody stopped it; never resolves. */
  get gone(): Promise<never> {
    return this.#gone.promise;
  }

  /** Process id of QEMU while it runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Opens a log in the run directory; its end becomes part of every failure's message. */
  openLog(file: string): WriteStream {
    const path = join(this.runDirectory, file);
    this.#logs.push(path);
    return createWriteStream(path, { flags: 'a' });
  }

  /**
   * Starts QEMU with a console (chardev `console`) added to `args`.
   *
   * @param onReboot - what a reboot of the guest does; default `exit`
   */
  start(program: string, args: readonly string[], onReboot: 'exit' | 'reset' = 'exit'): void {
    const consoleLog = this.openLog('console.log');
    const qemuLog = this.openLog('qemu.log');
    const argv = [
      // The kernel kills QEMU when this process dies, however it dies.
      ...['--pdeathsig', 'KILL', program],
      ...args,
      ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
      ...['-display', 'none', '-monitor', 'none'],
      ...(onReboot === 'exit' ? ['-no-reboot'] : []),
    ];
    qemuLog.write(`$ setpriv ${argv.join(' ')}\n`);
    const child = spawn('setpriv', argv, { stdio: 'pipe' });
    this.#child = child;
    running.add(this);
    hookExit();
    child.stdout.on('data', (data: Buffer) => {
      consoleLog.write(data);
      for (const listener of this.#onConsole) listener(data);
    });
    child.stderr.on('data', (data: Buffer) => qemuLog.write(data));
    child.stdin.on('error', () => {});
    this.#closed = new Promise((resolve) => {
      const end = (state: string): void => {
        running.delete(this);
        rmSync(this.scratch, { recursive: true, force: true });
        qemuLog.write(`(${state})\n`);
        if (!this.#stopping) {
          // The logs reach the disk first, so that the message can quote them.
          qemuLog.end(() => this.#gone.reject(this.error('MACHINE_EXITED', `QEMU ${state}`)));
        }
        resolve();
      };
      child.on('error', (error) => end(`cannot be started: ${error.message}`));
      child.on('close', (code, signal) => end(`ended: ${signal ?? `exit code ${code}`}`));
    });
  }

  /** Calls `listener` with whatever the serial console says from now on. */
  onConsole(listener: (data: Buffer) => void): void {
    this.#onConsole.add(listener);
  }

  /** Types on the serial console. */
  writeConsole(data: string): void {
    this.#child?.stdin.write(data);
  }

  /** An error whose message ends with the tails of all logs of this machine. */
  error(code: BoxError['code'], message: string, cause?: unknown): BoxError {
    return new BoxError(code, message, { details: tailsOf(this.#logs), cause });
  }

  /** Kills QEMU and waits until it is gone; may be called at any time and again. */
  async stop(): Promise<void> {
    this.kill();
    await this.#closed;
    rmSync(this.scratch, { recursive: true, force: true });
  }

  /** Kills QEMU without waiting. */
  kill(): void {
    this.#stopping = true;
    this.#child?.kill('SIGKILL');
  }
}

/**
 * Waits until daemons listen: QEMU does not start without them.
 *
 * @throws {BoxError} `TIMEOUT`
 */
export async function waitForSockets(paths: readonly string[], machine: Machine): Promise<void> {
  const deadline = performance.now() + SOCKET_TIMEOUT_MS;
  for (const path of paths) {
    while (!existsSync(path)) {
      if (performance.now() > deadline) {
        throw machine.error(
          'TIMEOUT',
          `Cannot start QEMU: no socket ${path} after ${SOCKET_TIMEOUT_MS} ms`,
        );
      }
      await sleep(20);
    }
  }
}

function hookExit(): void {
  if (hooked) return;
  hooked = true;
  process.on('exit', () => {
    for (const machine of running) {
      machine.kill();
      rmSync(machine.scratch, { recursive: true, force: true });
    }
  });
}
