import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { VhostSupervisorError } from './errors.ts';
import type { Ping, ServingMessage } from './serving-side.ts';

/** How long it gets to end by itself, milliseconds. */
const KILL_DELAY_MS = 5_000;
/** One that served for so long is started again at once, milliseconds. */
const STEADY_MS = 1_000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;

/** What a supervisor must not pass on: they are addressed to itself. */
const OWN_VARIABLES = [
  'NOTIFY_SOCKET',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
  'LISTEN_FDS',
  'LISTEN_PID',
  'LISTEN_FDNAMES',
];

export interface ServingProcessOptions {
  /** Arguments of this Node: its options, a script and the script's. */
  readonly args: readonly string[];
  readonly logger: Logger;
}

/**
 * The process that serves the devices: started again when it ends. It has a `ServingSide`.
 */
export class ServingProcess {
  /** Rejects with SERVING_PROCESS_FAILED when it ended before it ever served; never resolves. */
  readonly failed: Promise<never>;
  readonly #options: ServingProcessOptions;
  #fail: (error: VhostSupervisorError) => void = () => undefined;
  #child: ChildProcess | undefined;
  #ready: PromiseWithResolvers;
  readonly #pings = new Map<number, (well: boolean) => void>();
  #nextPing = 0;
  #generation = 0;
  #quickEnds = 0;
  #everServed = false;
  #stopped = false;

  constructor(options: ServingProcessOptions) {
    this.#options = options;
    this.#ready = withResolvers();
    this.failed = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined);
    this.#start();
  }

  /** Process id, undefined while it is not there. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Goes up with each start. */
  get generation(): number {
    return this.#generation;
  }

  /** Resolves when it serves. */
  async whenReady(): Promise<void> {
    await this.#ready.promise;
  }

  /**
   * Asks whether it answers.
   *
   * @returns false when it does not within the time, or is not there
   */
  async responsive(timeoutMs: number): Promise<boolean> {
    const child = this.#child;
    if (child?.connected !== true) return false;
    const ping = this.#nextPing++;
    const message: Ping = { ping, timeoutMs };
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<boolean>((resolve) => {
        this.#pings.set(ping, resolve);
        timer = setTimeout(() => resolve(false), timeoutMs);
        child.send(message, (error) => {
          if (error !== null) resolve(false);
        });
      });
    } finally {
      clearTimeout(timer);
      this.#pings.delete(ping);
    }
  }

  /** Ends it, by force when that takes too long; resolves when it is gone. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    // Who waits for one that serves finds that there is none.
    this.#ready.resolve();
    const child = this.#child;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
    });
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), KILL_DELAY_MS);
    await gone;
    clearTimeout(kill);
  }

  #start(): void {
    const env = { ...process.env };
    for (const name of OWN_VARIABLES) delete env[name];
    const child = spawn(process.execPath, this.#options.args, {
      env,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    this.#generation++;
    let since: number | undefined;
    child.on('message', (message) => {
      const said = message as ServingMessage;
      if (said !== 'serving') {
        this.#pings.get(said.pong)?.(said.well);
        return;
      }
      since = performance.now();
      this.#everServed = true;
      this.#options.logger.info({ servingPid: child.pid }, 'serving process serves');
      this.#ready.resolve();
    });
    child.on('error', (cause) => {
      const text = `Cannot start the serving process: ${cause.message}`;
      this.#fail(new VhostSupervisorError('SERVING_PROCESS_FAILED', text, {}, { cause }));
    });
    child.on('exit', (status, signal) => {
      this.#child = undefined;
      if (!this.#stopped) void this.#startAgain(since, status, signal);
    });
  }

  async #startAgain(
    since: number | undefined,
    status: number | null,
    signal: string | null,
  ): Promise<void> {
    const how = { status, signal };
    const steady = since !== undefined && performance.now() - since >= STEADY_MS;
    this.#quickEnds = steady ? 0 : this.#quickEnds + 1;
    // What is wrong from the start (a device that is not there) does not mend itself.
    if (!this.#everServed) {
      const text = `Cannot go on: the serving process ended with ${signal ?? status} before it served`;
      this.#fail(new VhostSupervisorError('SERVING_PROCESS_FAILED', text, how));
      return;
    }
    // Who waits for one that never served waits for the next.
    if (since !== undefined) this.#ready = withResolvers();
    this.#options.logger.warn(how, 'serving process ended, starting it again');
    // The first of a row costs guests no more time than it must; who provokes more of them waits.
    const delay = FIRST_DELAY_MS * 2 ** (this.#quickEnds - 2);
    if (this.#quickEnds > 1) await sleep(Math.min(delay, MAX_DELAY_MS));
    if (!this.#stopped) this.#start();
  }
}

/** `Promise.withResolvers`, which Node 20 does not have. */
interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function withResolvers(): PromiseWithResolvers {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
