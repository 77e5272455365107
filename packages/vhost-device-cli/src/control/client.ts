import { lstatSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { errorCode } from '@node-vmm/vmm-sys-util/errors';
import { ControlError } from './error.ts';
import { requestLine } from './request.ts';

/** What a daemon answers, or an event: an object of JSON. */
export type ControlAnswer = Readonly<Record<string, unknown>>;

/** Which device is meant. */
export interface ControlTarget {
  /** Its name: `gpio0`. Default: the daemon's only one; of `watch` and `status`, all. */
  readonly device?: string | undefined;
}

/** Events of a daemon's devices; `device` in each says whose. Ends when either side closes. */
export interface ControlWatch extends AsyncIterable<ControlAnswer>, Disposable {
  close(): void;
}

/**
 * Drives the devices of a daemon through its control socket.
 *
 * @example
 * using daemon = await ControlClient.connect('/run/gpio.control');
 * await daemon.command(['line', '3', 'pulse']);
 */
export class ControlClient implements Disposable {
  readonly #path: string;
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  readonly #watches = new Set<ControlClient>();
  /** Requests are answered in their order. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string, socket: Socket) {
    this.#path = path;
    this.#socket = socket;
    this.#lines = linesOf(socket)[Symbol.asyncIterator]();
  }

  /** @throws {ControlError} ENOENT, ECONNREFUSED, EACCES ... when it cannot be connected to */
  static async connect(path: string): Promise<ControlClient> {
    const socket = connect({ path });
    const failed = await new Promise<Error | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('error', resolve);
    });
    if (failed !== undefined) {
      const why = errorCode(failed) ?? failed.message;
      const text = `Cannot connect to the control socket ${path}: ${await explained(why, path)}`;
      throw new ControlError(why, text, { path }, { cause: failed });
    }
    // Who waits for a line hears of later ones.
    socket.on('error', () => undefined);
    return new ControlClient(path, socket);
  }

  /**
   * Has a device do something.
   *
   * @param words - without blanks or control characters
   * @returns the device's answer; without members when it has nothing to say
   * @throws {ControlError} the daemon's refusal with its code, DISCONNECTED
   */
  command(words: readonly string[], { device }: ControlTarget = {}): Promise<ControlAnswer> {
    const answer = this.#last.then(() => this.#ask(words, device));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  /** State and counters of the device, or of all, as SIGUSR1 logs them. @throws {ControlError} */
  async status(target: ControlTarget = {}): Promise<readonly ControlAnswer[]> {
    const { devices } = await this.command(['status'], target);
    return devices as readonly ControlAnswer[];
  }

  /**
   * Watches the events of the device, or of all, on a connection of its own. What happens from the moment
   * that this resolves is told. A daemon ends the connection of a reader who falls far behind.
   *
   * @throws {ControlError}
   */
  async watch({ device }: ControlTarget = {}): Promise<ControlWatch> {
    const client = await ControlClient.connect(this.#path);
    try {
      await client.#ask(['watch'], device);
    } catch (error) {
      client.close();
      throw error;
    }
    this.#watches.add(client);
    client.#socket.once('close', () => this.#watches.delete(client));
    const close = (): void => client.close();
    return { [Symbol.asyncIterator]: () => client.#events(), close, [Symbol.dispose]: close };
  }

  /** Ends what it watches, too. What was asked and is not answered rejects. Idempotent. */
  close(): void {
    for (const client of this.#watches) client.close();
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #ask(words: readonly string[], device: string | undefined): Promise<ControlAnswer> {
    this.#socket.write(requestLine(words, device));
    const { ok, ...members } =
      (await this.#line()) ?? this.#disconnected('it ended the connection');
    if (ok === true) return members;
    const { code, error } = members;
    if (typeof code !== 'string' || typeof error !== 'string')
      this.#disconnected('it does not answer so');
    throw new ControlError(code as string, error as string, { path: this.#path });
  }

  async *#events(): AsyncGenerator<ControlAnswer> {
    for (let event = await this.#line(); event !== undefined; event = await this.#line())
      yield event;
  }

  /** @returns undefined when there is none any more */
  async #line(): Promise<ControlAnswer | undefined> {
    const { value, done } = await this.#lines.next();
    if (done === true) return undefined;
    try {
      return JSON.parse(value) as ControlAnswer;
    } catch {
      return this.#disconnected('it does not answer with JSON');
    }
  }

  #disconnected(why: string): never {
    this.close();
    const text = `Cannot go on with the control socket ${this.#path}: ${why}`;
    throw new ControlError('DISCONNECTED', text, { path: this.#path });
  }
}

/** Ends with the connection, however that ends. */
async function* linesOf(socket: Socket): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const chunk of socket.setEncoding('utf8')) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch {
    // ECONNRESET, or closed by us: what was whole has been told.
  }
}

/** Says why there is no daemon at a path, and what to do. */
async function explained(why: string, path: string): Promise<string> {
  // Node takes the beginning of a path that is too long. Whoever is connected loads nothing native.
  const { UNIX_PATH_MAX } = await import('@node-vmm/vmm-sys-util');
  if (Buffer.byteLength(path) > UNIX_PATH_MAX) {
    return `a socket's path has ${UNIX_PATH_MAX} bytes at most`;
  }
  switch (why) {
    case 'ENOENT':
      return 'there is no such socket; is the daemon running, with this --control-socket?';
    case 'ECONNREFUSED':
      if (lstatSync(path, { throwIfNoEntry: false, bigint: true })?.isSocket() === false) {
        return 'it is no socket; name what the daemon was given as --control-socket';
      }
      return 'nobody listens there; is the daemon running, with this --control-socket?';
    case 'EACCES':
      return 'permission denied; run as the user who started the daemon';
    case 'ENOTDIR':
      return 'what should be a directory on its way is none';
    default:
      return `${why}; is the daemon running?`;
  }
}
