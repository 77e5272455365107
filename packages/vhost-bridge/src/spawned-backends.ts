import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { type Logger, UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import { Backend } from './backend-process.ts';
import { VhostBridgeError } from './errors.ts';
import type { SocketLease, SocketProvider } from './socket-provider.ts';
import type { SupportedDevice } from './supported-devices.ts';

const DIRECTORY = 'vhost-bridge-';
/** What `mkdtemp` appends. */
const RANDOM = 'XXXXXX';
/** How long a back-end may take from its start to its socket before that is worth a warning. */
const START_MS = 1000;

/** A back-end of ours, as the bridge's status shows it. */
export interface BackendStatus {
  readonly socket: string;
  /** Undefined while it is not running. */
  readonly pid: number | undefined;
}

/**
 * Starts a back-end of our own for each device and starts it again when it dies. The command gets
 * `--socket-path BASE --socket-count 1` appended and is expected to listen on `BASE0`, as rust-vmm's
 * daemons and ours do.
 */
export class SpawnedBackends implements SocketProvider {
  readonly #commands: ReadonlyMap<string, string>;
  readonly #fallback: SocketProvider;
  readonly #logger: Logger;
  readonly #backends = new Map<SocketLease, Backend>();
  /** Released, and not gone yet. */
  readonly #ending = new Set<Backend>();
  #dir: string | undefined;
  #count = 0;
  #closed = false;

  /**
   * @param commands - shell command by device name
   * @param fallback - serves the device types without a command
   */
  constructor(commands: ReadonlyMap<string, string>, fallback: SocketProvider, logger: Logger) {
    this.#commands = commands;
    this.#fallback = fallback;
    this.#logger = logger;
    // However this process ends, as long as it can do anything about it: they are nobody else's.
    process.on('exit', this.#endAll);
  }

  /** The back-ends that run for a device now, as plain data. */
  status(): BackendStatus[] {
    return [...this.#backends].map(([{ path }, backend]) => ({ socket: path, pid: backend.pid }));
  }

  /** @throws {VhostBridgeError} BAD_SOCKET; what the fallback throws */
  lease(device: SupportedDevice, key: string, wanted?: string): SocketLease {
    const command = this.#commands.get(device.name);
    if (command === undefined) return this.#fallback.lease(device, key, wanted);
    // Of its own for each lease: the last one's back-end may still be ending, and removes its socket.
    const name = `${device.name}-${key.replaceAll('/', '-')}-${this.#count++}.sock`;
    checkLength(join(this.#dir ?? join(tmpdir(), DIRECTORY + RANDOM), `${name}0`));
    this.#dir ??= mkdtempSync(join(tmpdir(), DIRECTORY));
    const base = join(this.#dir, name);
    const backend = new Backend(command, base, this.#logger.child({ device: key, command }));
    const lease: SocketLease = {
      path: `${base}0`,
      graceMs: START_MS,
      stop: () => this.#end(backend),
      release: () => {
        if (this.#backends.delete(lease)) this.#end(backend);
      },
    };
    this.#backends.set(lease, backend);
    return lease;
  }

  #end(backend: Backend): void {
    if (this.#ending.has(backend)) return;
    this.#ending.add(backend);
    void backend.stop().then(() => {
      this.#ending.delete(backend);
      this.#forgetExit();
    });
  }

  /** Stops every back-end and removes the sockets' directory. */
  close(): void {
    for (const lease of [...this.#backends.keys()]) lease.release();
    // Again where a back-end has made its socket meanwhile.
    const options = { recursive: true, force: true, maxRetries: 3 };
    if (this.#dir !== undefined) rmSync(this.#dir, options);
    this.#closed = true;
    this.#forgetExit();
  }

  #forgetExit(): void {
    if (this.#closed && this.#ending.size === 0) process.off('exit', this.#endAll);
  }

  readonly #endAll = (): void => {
    for (const backend of this.#ending) backend.kill();
    this.close();
  };
}

/** Before anything is made: the back-end alone would say so, again and again. */
function checkLength(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= UNIX_PATH_MAX) return;
  throw new VhostBridgeError(
    'BAD_SOCKET',
    `Cannot make the socket ${path}: its path has ${bytes} bytes, ${UNIX_PATH_MAX} at most; set TMPDIR to a directory with a shorter path`,
  );
}
