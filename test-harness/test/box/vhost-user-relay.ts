import { setTimeout as sleep } from 'node:timers/promises';
import { FRONTEND_REQUESTS } from '@node-vmm/vhost-user';
import {
  closeFd,
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
/** More than what a socket holds. */
const BUFFER_SIZE = 1 << 20;
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
  #unread = Buffer.alloc(0);
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
    this.#unread = Buffer.alloc(0);
    const watches = [
      this.#pass(front, back, (bytes) => this.#note(bytes)),
      this.#pass(back, front, () => undefined),
    ];
    this.#end = () => {
      for (const watch of watches) watch.close();
      front.close();
      back.close();
      this.#end = () => undefined;
    };
  }

  #pass(from: UnixStream, to: UnixStream, note: (bytes: Uint8Array) => void): Watch {
    const buffer = new Uint8Array(BUFFER_SIZE);
    return this.#poller.watch(from.fd, { readable: true }, () => {
      try {
        const received = from.receive(buffer);
        if (received === undefined) return;
        const bytes = buffer.subarray(0, received.bytes);
        if (bytes.length > 0) {
          note(bytes);
          // Messages are far smaller than what a socket takes.
          to.send(bytes, received.fds);
        }
        for (const fd of received.fds) closeFd(fd);
        if (bytes.length > 0) return;
      } catch (error) {
        if (!(error instanceof SysError)) throw error;
      }
      // One of the two has ended it.
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

  #note(bytes: Uint8Array): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    while (this.#unread.length >= HEADER_SIZE) {
      const end = HEADER_SIZE + this.#unread.readUInt32LE(8);
      if (this.#unread.length < end) return;
      const id = this.#unread.readUInt32LE(0);
      this.requests.push(REQUESTS.get(id) ?? `request ${id}`);
      this.#unread = this.#unread.subarray(end);
    }
  }
}
