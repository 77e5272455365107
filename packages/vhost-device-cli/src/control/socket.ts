import { createServer, type Server, type Socket } from 'node:net';
import { dupFd, type Logger, UnixListener } from '@node-vmm/vmm-sys-util';
import { ControlConnection } from './connection.ts';
import type { Controlled } from './controlled.ts';

/** Who may connect drives the devices: the user of the process. */
const MODE = 0o600;
/** Most clients at a time. */
const CONNECTIONS_MAX = 16;
const BUSY = {
  ok: false,
  code: 'BUSY',
  error: `Cannot answer: there are ${CONNECTIONS_MAX} connections already`,
};

/** The socket through which a program is driven from outside. */
export class ControlSocket implements Disposable {
  readonly #listener: UnixListener;
  readonly #connections = new Set<ControlConnection>();
  #server: Server | undefined;

  private constructor(listener: UnixListener) {
    this.#listener = listener;
  }

  /**
   * Binds the socket, of mode 0600. A stale socket file is replaced. Who connects waits until `serve`.
   *
   * @throws {SysError} EADDRINUSE, EACCES ...
   */
  static bind(path: string): ControlSocket {
    return new ControlSocket(UnixListener.bind(path, { mode: MODE }));
  }

  /** Answers from now on. */
  serve(commands: Controlled, logger: Logger): void {
    const server = createServer({ allowHalfOpen: true }, (socket) =>
      this.#accept(socket, commands, logger),
    );
    // There is nobody else to tell, and the devices are served all the same.
    server.on('error', (err) =>
      logger.error({ err }, 'the control socket does not answer any more'),
    );
    // A descriptor of its own: closing a server closes it, and the file has to be removed before that.
    server.listen({ fd: dupFd(this.#listener.fd) });
    this.#server = server;
  }

  /** Ends all connections and removes the socket file. Idempotent. */
  close(): void {
    this.#listener.close();
    this.#server?.close();
    this.#server = undefined;
    for (const connection of this.#connections) connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #accept(socket: Socket, commands: Controlled, logger: Logger): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      socket.on('error', () => undefined);
      socket.end(`${JSON.stringify(BUSY)}\n`, () => socket.destroy());
      return;
    }
    const connection = new ControlConnection(socket, commands, logger);
    this.#connections.add(connection);
    socket.on('close', () => this.#connections.delete(connection));
  }
}
