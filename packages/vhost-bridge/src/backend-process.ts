import { type ChildProcess, spawn } from 'node:child_process';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { VhostBridgeError } from './errors.ts';

const RESTART_DELAY_MS = 500;
const KILL_DELAY_MS = 2000;

/** A back-end that is kept running: when it ends it is started again. */
export class Backend {
  readonly #command: string;
  readonly #base: string;
  readonly #logger: Logger;
  #child: ChildProcess | undefined;
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
    // `exec` makes the back-end itself our child, so that signals reach it and not a shell.
    const run = `exec ${command} --socket-path "$1" --socket-count 1`;
    const child = spawn('/bin/sh', ['-c', run, 'sh', this.#base], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    this.#child = child;
    this.#logger.info({ backend: child.pid }, 'started back-end');
    child.on('error', (cause) => {
      const text = `Cannot start back-end "${command}"`;
      const err = new VhostBridgeError('SPAWN_FAILED', text, { command }, { cause });
      this.#logger.error({ err }, 'back-end did not start');
    });
    child.on('exit', (status, signal) => {
      if (this.#stopped) return;
      this.#logger.warn({ status, signal }, 'back-end ended, starting it again');
      this.#timer = setTimeout(() => this.#start(), RESTART_DELAY_MS);
    });
  }

  /** Ends it by SIGTERM, or, when that takes too long, by SIGKILL; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const running = this.#running;
    if (running === undefined) return;
    await new Promise<void>((resolve) => {
      const kill = setTimeout(() => this.kill(), KILL_DELAY_MS);
      running.on('exit', () => {
        clearTimeout(kill);
        resolve();
      });
      running.kill('SIGTERM');
    });
  }

  /** Ends it at once. */
  kill(): void {
    this.#running?.kill('SIGKILL');
  }
}
