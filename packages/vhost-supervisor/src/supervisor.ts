import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, MainPoller, UNIX_PATH_MAX, type UnixListener } from '@node-vmm/vmm-sys-util';
import { VhostSupervisorError } from './errors.ts';
import { ServingProcess } from './serving-process.ts';
import { SupervisedDevice } from './supervised-device.ts';

/** A socket of the supervisor's. */
export interface SupervisedSocket {
  readonly name: string;
  /** Becomes the supervisor's. */
  readonly listener: UnixListener;
}

export interface SupervisorOptions {
  /**
   * Arguments of this Node (its options, a script and the script's) for the serving process, which listens on `<prefix>0`, `<prefix>1`, ... for as
   * many sockets as there are.
   *
   * @param prefix - in a directory that only this user may look into
   */
  readonly serve: (prefix: string) => readonly string[];
  readonly sockets: readonly SupervisedSocket[];
  /**
   * The devices keep their state in files of theirs, and may return requests in any order: what is in flight is
   * recorded (INFLIGHT_SHMFD) and handed on to the next serving process. Default false.
   */
  readonly stateful?: boolean;
  readonly logger: Logger;
}

/**
 * Holds front-ends' connections, memory and eventfds, while another process serves the devices; when that
 * one dies it is started again, and told all that the front-ends had said. They see nothing of it.
 *
 * It is for devices whose driver does not rely on what they have in their memory alone, and which return the
 * requests of a ring in the order in which they took them, or keep what they have in files (`stateful`).
 */
export class Supervisor {
  /** Rejects when the serving process is given up; never resolves. */
  readonly failed: Promise<never>;
  readonly #directory: string;
  readonly #poller = new MainPoller();
  readonly #process: ServingProcess;
  readonly #devices: SupervisedDevice[];
  #closing: Promise<void> | undefined;

  /**
   * @throws {SysError} when a socket cannot be polled
   * @throws {VhostSupervisorError} PATH_TOO_LONG where the directory for temporary files is too far down
   */
  constructor({ serve, sockets, stateful = false, logger }: SupervisorOptions) {
    this.#directory = makeDirectory(sockets.length);
    const prefix = join(this.#directory, 's');
    const process = new ServingProcess({ args: serve(prefix), logger });
    this.#process = process;
    this.failed = process.failed;
    this.#devices = sockets.map(({ name, listener }, index) => {
      const path = `${prefix}${index}`;
      const own = logger.child({ device: name });
      const poller = this.#poller;
      return new SupervisedDevice({ listener, process, path, stateful, poller, logger: own });
    });
  }

  /** Process id of the serving process, undefined while there is none. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Resolves when the serving process serves. */
  async whenReady(): Promise<void> {
    await Promise.race([this.#process.whenReady(), this.failed]);
  }

  /** @returns false when the serving process does not answer within the time, or is not there */
  async responsive(timeoutMs: number): Promise<boolean> {
    return await this.#process.responsive(timeoutMs);
  }

  /** Drops all front-ends and ends the serving process. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await Promise.all([...this.#devices.map((device) => device.close()), this.#process.stop()]);
    } finally {
      this.#poller.close();
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }
}

function makeDirectory(count: number): string {
  const base = join(tmpdir(), 'vhost-supervisor-');
  // As `mkdtemp` names it, with the longest name in it.
  const longest = `${base}XXXXXX/s${count}`;
  const bytes = Buffer.byteLength(longest);
  if (bytes > UNIX_PATH_MAX) {
    throw new VhostSupervisorError(
      'PATH_TOO_LONG',
      `Cannot make the socket ${longest}: its path has ${bytes} bytes, ${UNIX_PATH_MAX} at most; set TMPDIR to a directory with a shorter path`,
    );
  }
  return mkdtempSync(base);
}
