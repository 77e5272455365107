import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UnixStream } from '@node-vmm/vmm-sys-util';
import { Sockets } from './sockets.ts';
import { until } from './waiting.ts';

/**
 * A daemon's program. It takes `--socket-path` and `--socket-count` and listens on `<path>0`, `<path>1`,
 * ... as those of vhost-device-cli and of rust-vmm do.
 */
export interface ProgramSpec {
  /** The built script that Node runs. */
  readonly main: URL;
  /** Its arguments, but those two. */
  readonly args?: readonly string[];
}

/** How a process ended. */
export interface ProgramExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A daemon in a process of its own, with sockets in a directory of its own. */
export class DaemonProgram implements AsyncDisposable {
  readonly exit: Promise<ProgramExit>;
  /** What it has said so far. */
  stdout = '';
  /** What it has said so far. */
  stderr = '';
  readonly #child: ChildProcess;
  readonly #sockets = new Sockets();

  /**
   * Starts a program without waiting for anything.
   *
   * @param args - makes all its arguments from the path that sockets are to have
   */
  constructor(main: URL, args: (socketPath: string) => readonly string[]) {
    this.#child = spawn(process.execPath, [fileURLToPath(main), ...args(this.#path)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.exit = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (code, signal) => resolve({ code, signal }));
    });
  }

  /**
   * Starts a daemon and waits until all its sockets are served.
   *
   * @param count - number of sockets
   * @throws {Error} when it ends first, with what it said
   */
  static async start({ main, args = [] }: ProgramSpec, count = 1): Promise<DaemonProgram> {
    const program = new DaemonProgram(main, (path) => [
      ...args,
      ...['--socket-path', path, '--socket-count', String(count)],
    ]);
    const paths = Array.from({ length: count }, (_, index) => program.socketPath(index));
    return program.#untilServed(paths);
  }

  /**
   * Starts a daemon with one socket, without saying how many, and waits until it is served.
   *
   * @throws {Error} when it ends first, with what it said
   */
  static async startAt(main: URL, args: readonly string[] = []): Promise<DaemonProgram> {
    const program = new DaemonProgram(main, (path) => [...args, '--socket-path', path]);
    return program.#untilServed([program.exactPath]);
  }

  /** Runs a program that ends by itself. @param args - all its arguments */
  static async run(main: URL, args: readonly string[]): Promise<ProgramExit & ProgramOutput> {
    const program = new DaemonProgram(main, () => args);
    try {
      const exit = await program.exit;
      return { ...exit, stdout: program.stdout, stderr: program.stderr };
    } finally {
      program.#sockets.close();
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Path of one of its sockets. */
  socketPath(index = 0): string {
    return `${this.#path}${index}`;
  }

  /** Path of its socket, when it was not told how many there are. */
  get exactPath(): string {
    return this.#path;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it by a signal and waits for that. Idempotent. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<ProgramExit> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.kill(signal);
    try {
      return await this.exit;
    } finally {
      this.#sockets.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #untilServed(paths: readonly string[]): Promise<this> {
    try {
      for (const path of paths) {
        await until(() => {
          this.#mustLive();
          return listens(path);
        });
      }
      return this;
    } catch (error) {
      await this.stop('SIGKILL');
      throw error;
    }
  }

  get #path(): string {
    return join(this.#sockets.directory, 'socket');
  }

  #mustLive(): void {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) return;
    throw new Error(
      `Cannot use the daemon: it ended with ${signalCode ?? exitCode}: ${this.stderr.trimEnd()}`,
    );
  }
}

/** What a process said. */
export interface ProgramOutput {
  readonly stdout: string;
  readonly stderr: string;
}

function listens(path: string): boolean {
  try {
    UnixStream.connect(path).close();
    return true;
  } catch {
    return false;
  }
}
