import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { BridgeError } from './errors.ts';
import type { SocketLease, SocketProvider } from './socket-provider.ts';
import type { SupportedDevice } from './supported-devices.ts';

const RESTART_DELAY_MS = 500;
const KILL_DELAY_MS = 2000;

/**
 * Starts a back-end of our own for each device and starts it again when it dies. The command gets
 * `--socket-path BASE` appended and is expected to listen on `BASE0`, as rust-vmm's daemons and ours
 * do.
 */
export class SpawnedBackends implements SocketProvider {
  readonly #commands: ReadonlyMap<string, string>;
  readonly #fallback: SocketProvider;
  readonly #logger: Logger;
  readonly #leases = new Set<SocketLease>();
  #dir: string | undefined;
  #count = 0;

  /**
   * @param commands - shell command by device name
   * @param fallback - serves the device types without a command
   */
  constructor(commands: ReadonlyMap<string, string>, fallback: SocketProvider, logger: Logger) {
    this.#commands = commands;
    this.#fallback = fallback;
    this.#logger = logger;
  }

  lease(device: SupportedDevice, key: string): SocketLease {
    const command = this.#commands.get(device.name);
    if (command === undefined) return this.#fallback.lease(device, key);
    this.#dir ??= mkdtempSync(join(tmpdir(), 'xen-vhost-master-'));
    // Of its own for each lease: the last one's back-end may still be ending, and removes its socket.
    const name = `${device.name}-${key.replaceAll('/', '-')}-${this.#count++}`;
    const base = join(this.#dir, `${name}.sock`);
    const stop = superviseBackend(command, base, this.#logger.child({ device: key, command }));
    const lease: SocketLease = {
      path: `${base}0`,
      release: () => {
        if (this.#leases.delete(lease)) stop();
      },
    };
    this.#leases.add(lease);
    return lease;
  }

  /** Stops every back-end and removes the sockets' directory. */
  close(): void {
    for (const lease of [...this.#leases]) lease.release();
    if (this.#dir !== undefined) rmSync(this.#dir, { recursive: true, force: true });
  }
}

/**
 * Keeps a back-end running.
 *
 * @returns a function that stops it for good
 */
function superviseBackend(command: string, base: string, logger: Logger): () => void {
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const start = (): void => {
    // `exec` makes the back-end itself our child, so that signals reach it and not a shell.
    child = spawn('/bin/sh', ['-c', `exec ${command} --socket-path "$1"`, 'sh', base], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    logger.info({ pid: child.pid }, 'started back-end');
    child.on('error', (error) => {
      logger.error(
        {
          err: new BridgeError('SPAWN_FAILED', `Cannot start back-end "${command}"`, {
            cause: error,
          }),
        },
        'back-end did not start',
      );
    });
    child.on('exit', (status, signal) => {
      if (stopped) return;
      logger.warn({ status, signal }, 'back-end ended, starting it again');
      timer = setTimeout(start, RESTART_DELAY_MS);
    });
  };
  start();
  return () => {
    stopped = true;
    clearTimeout(timer);
    const running = child;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    running.kill('SIGTERM');
    const kill = setTimeout(() => running.kill('SIGKILL'), KILL_DELAY_MS);
    running.on('exit', () => clearTimeout(kill));
  };
}
