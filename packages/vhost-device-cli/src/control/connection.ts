import type { Socket } from 'node:net';
import { errorCode, errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import type { Controlled } from './controlled.ts';
import { LineReader } from './lines.ts';
import { type ControlRequest, parseRequest } from './request.ts';

/** What may wait for a client who watches and does not read, bytes. */
const BACKLOG_MAX = 256 * 1024;

/** A client of the control socket: asks one thing after another, or watches. */
export class ControlConnection {
  readonly #socket: Socket;
  readonly #commands: Controlled;
  readonly #logger: Logger;
  readonly #lines = new LineReader();
  #busy = false;
  /** The client has said all that it will. */
  #ended = false;
  #watch: Disposable | undefined;

  /** @param socket - becomes the connection's, with its half-open end */
  constructor(socket: Socket, commands: Controlled, logger: Logger) {
    this.#socket = socket;
    this.#commands = commands;
    this.#logger = logger;
    socket.on('data', (chunk: Buffer) => {
      // What somebody says who watches is not heard, only that it ends.
      if (this.#watch !== undefined) return;
      this.#lines.push(chunk);
      void this.#serve();
    });
    socket.on('end', () => {
      this.#ended = true;
      // Of a client who watches and says no more nobody would hear when it is gone.
      if (this.#watch !== undefined) socket.destroy();
      else if (!this.#busy) socket.end();
    });
    // Its close follows.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#watch?.[Symbol.dispose]());
  }

  /** Idempotent. */
  close(): void {
    this.#socket.destroy();
  }

  /** Answers the requests that have come, in their order: what comes meanwhile stays in the socket. */
  async #serve(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#socket.pause();
    try {
      for (let line = this.#lines.next(); line !== undefined; line = this.#lines.next()) {
        await this.#do(line);
        if (this.#socket.destroyed || this.#watch !== undefined) break;
      }
    } catch (error) {
      await this.#send({
        ok: false,
        code: 'TOO_LONG',
        error: `Cannot read on: ${errorMessage(error)}`,
      });
      this.#ended = true;
    }
    this.#busy = false;
    if (this.#ended) this.#socket.end(() => this.#socket.destroy());
    else this.#socket.resume();
  }

  async #do(line: Uint8Array): Promise<void> {
    try {
      const request = parseRequest(line);
      if (request.words[0] === 'watch') this.#startWatch(request);
      else await this.#send({ ok: true }, await this.#commands.answer(request));
    } catch (error) {
      const code = errorCode(error) ?? 'FAILED';
      await this.#send({ ok: false, code, error: errorMessage(error) });
    }
  }

  #startWatch(request: ControlRequest): void {
    this.#watch = this.#commands.watch(request, (event, device) =>
      this.#tell(withHead({ device }, event)),
    );
    this.#tell({ ok: true });
  }

  #tell(line: object): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.write(`${JSON.stringify(line)}\n`);
    if (socket.writableLength <= BACKLOG_MAX) return;
    this.#logger.warn({}, 'control connection ended: who watches does not read');
    socket.destroy();
  }

  /** Sends an answer, and waits for a client who does not take it. */
  async #send(head: object, members: object = {}): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (socket.write(`${JSON.stringify(withHead(head, members))}\n`)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('drain', done).off('close', done);
        resolve();
      };
      socket.on('drain', done).on('close', done);
    });
  }
}

/** What the head says is first, and none of the others is taken for it. */
function withHead(head: object, members: object): object {
  return { ...head, ...members, ...head };
}
