import { setTimeout as sleep } from 'node:timers/promises';
import { FRONTEND_REQUESTS } from '@node-vmm/vhost-user';
import {
  closeFd,
  type Fd,
  MainPoller,
  SysError,
  UnixListener,
  UnixStream,
  type Watch,
} from '@node-vmm/vmm-sys-util';

const REQUESTS = new Map(
  Object.entries(FRONTEND_REQUESTS).map(([name, { id }]) => [id as number, name]),
);
/** Request, flags and size of the payload, 4 bytes each. */
const HEADER_SIZE = 12;
/** More than any message has. */
const MESSAGE_SIZE = 65_536;
const RETRY_MS = 20;

/**
 * Between a front-end and a back-end of vhost-user that both listen, or that are not always there:
 * passes on bytes and descriptors as they come, and writes down which requests the front-end makes.
 */
export class VhostUserRelay implements Disposable {
  /** Names of the requests of the present connection, in their order. */
  readonly requests: string[] = [];
  #backend: string;
  readonly #poller = new MainPoller();
  readonly #listener: UnixListener | undefined;
  #end = (): void => undefined;
  #closed = false;

  /**
   * @param backend - path of the socket that the back-end listens on
   * @param listen - path to listen on for front-ends, one after the other; without it {@link connect}
   */
  constructor(backend: string, listen?: string) {
    this.#backend = backend;
    if (listen === undefined) return;
    const listener = UnixListener.bind(listen);
    this.#listener = listener;
    this.#poller.watch(listener.fd, { readable: true }, () => {
      const stream = listener.accept();
      if (stream !== undefined) void this.#join(stream);
    });
  }

  /**
   * Joins the back-end with a front-end that listens, as soon as both do.
   *
   * @param backend - another back-end from now on
   */
  async connect(frontend: string, backend: string = this.#backend): Promise<void> {
    this.#backend = backend;
    const stream = await this.#connected(frontend);
    if (stream !== undefined) await this.#join(stream);
  }

  /** Ends the connection on both sides. */
  disconnect(): void {
    this.#end();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.disconnect();
    this.#poller.close();
    this.#listener?.close();
  }

  async #join(front: UnixStream): Promise<void> {
    const back = await this.#connected(this.#backend);
    if (back === undefined) {
      front.close();
      return;
    }
    this.disconnect();
    this.requests.length = 0;
    const watches = [
      this.#pass(front, back, (id) => {
        this.requests.push(REQUESTS.get(id) ?? `request ${id}`);
      }),
      this.#pass(back, front, () => undefined),
    ];
    this.#end = () => {
      for (const watch of watches) watch.close();
      front.close();
      back.close();
      this.#end = () => undefined;
    };
  }

  /** Passes on whole messages, as a receive may bring the end of one and the descriptors of the next. */
  #pass(from: UnixStream, to: UnixStream, note: (request: number) => void): Watch {
    const message = Buffer.alloc(MESSAGE_SIZE);
    const fds: Fd[] = [];
    let filled = 0;
    const receive = (): boolean => {
      const end = filled < HEADER_SIZE ? HEADER_SIZE : HEADER_SIZE + message.readUInt32LE(8);
      if (filled < end) {
        const received = from.receive(message.subarray(filled, end));
        if (received === undefined) return true;
        if (received.bytes === 0) return false;
        fds.push(...received.fds);
        filled += received.bytes;
      }
      if (filled < HEADER_SIZE || filled < HEADER_SIZE + message.readUInt32LE(8)) return true;
      note(message.readUInt32LE(0));
      // Messages are far smaller than what a socket takes.
      to.send(message.subarray(0, filled), fds);
      for (const fd of fds.splice(0)) closeFd(fd);
      filled = 0;
      return true;
    };
    return this.#poller.watch(from.fd, { readable: true }, () => {
      try {
        if (receive()) return;
      } catch (error) {
        if (!(error instanceof SysError)) throw error;
      }
      // One of the two has ended it.
      for (const fd of fds.splice(0)) closeFd(fd);
      this.#end();
    });
  }

  /** Connects as soon as somebody listens; undefined when this relay is closed before. */
  async #connected(path: string): Promise<UnixStream | undefined> {
    while (!this.#closed) {
      try {
        return UnixStream.connect(path);
      } catch (error) {
        if (!(error instanceof SysError)) throw error;
        await sleep(RETRY_MS);
      }
    }
    return undefined;
  }
}
