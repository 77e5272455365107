import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { guarded, KILL_DELAY_MS } from './backend-guard.ts';
import { VhostBridgeError } from './errors.ts';

const RESTART_DELAY_MS = 500;

/**
 * A back-end that is kept running: when it ends it is started again. It and all that it started are one
 * process group, which ends as a whole: when the back-end is stopped, when its first process ends, and
 * when this process does, even by SIGKILL.
 */
export class Backend {
  readonly #command: string;
  readonly #base: string;
  readonly #logger: Logger;
  #child: ChildProcess | undefined;
  /** Ends when nothing is left of the process group. */
  #gone: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /**
   * @param command - for a shell
   * @param base - for `--socket-path`; the back-end is to listen on `<base>0`
   */
  constructor(command: string, base: string, logger: Logger) {
    this.#command = command;
    this.#base = base;
    this.#logger = logger;
    this.#start();
  }

  /** Undefined while it is not running. */
  get pid(): number | undefined {
    return this.#running?.pid;
  }

  get #running(): ChildProcess | undefined {
    const child = this.#child;
    // Without a pid it never ran.
    const gone = child?.pid === undefined || child.exitCode !== null || child.signalCode !== null;
    return gone ? undefined : child;
  }

  #start(): void {
    const command = this.#command;
    const child = spawn('/bin/sh', ['-c', guarded(command), 'sh', this.#base], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
      // A process group of its own, and none of a terminal: who ends it is this process.
      detached: true,
    });
    const lifeline = child.stdio[3] as Socket | undefined;
    this.#gone = ended(lifeline);
    this.#child = child;
    this.#logger.info({ backend: child.pid }, 'started back-end');
    child.on('error', (cause) => {
      const text = `Cannot start back-end "${command}"`;
      const err = new VhostBridgeError('SPAWN_FAILED', text, { command }, { cause });
      this.#logger.error({ err }, 'back-end did not start');
    });
    child.on('exit', (status, signal) => {
      // What it started must not outlive it: the next one gets the same socket.
      lifeline?.end();
      if (this.#stopped) return;
      this.#logger.warn({ status, signal }, 'back-end ended, starting it again');
      void this.#gone.then(() => {
        if (!this.#stopped) this.#timer = setTimeout(() => this.#start(), RESTART_DELAY_MS);
      });
    });
  }

  /** Ends it by SIGTERM, or, when that takes too long, by SIGKILL; resolves when nothing of it is left. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const kill = setTimeout(() => this.kill(), KILL_DELAY_MS);
    this.#signal('SIGTERM');
    await this.#gone;
    clearTimeout(kill);
  }

  /** Ends it at once. */
  kill(): void {
    this.#signal('SIGKILL');
  }

  /** To the whole group: a wrapper need not pass on what it gets. */
  #signal(signal: NodeJS.Signals): void {
    const { pid } = this;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It has ended, and only its exit is still to be told.
    }
  }
}

/** Ends when the other end of a socket is let go of. */
function ended(socket: Socket | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (socket === undefined) {
      resolve();
      return;
    }
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    // Its end is to be seen; there is nothing else to be read.
    socket.resume();
  });
}
