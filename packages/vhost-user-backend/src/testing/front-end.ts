import {
  FRONTEND_REQUESTS,
  type MessageName,
  type Reply,
  type ReplyPayload,
  type RequestPayload,
  VhostUserConnection,
} from '@node-vmm/vhost-user';
import { closeFds, type Fd, MainPoller, UnixStream } from '@node-vmm/vmm-sys-util';

type Table = typeof FRONTEND_REQUESTS;
type Name = MessageName<Table>;
type Answer = { payload: unknown; fds: Fd[] } | { error: unknown };

/** The front-end's end of a vhost-user socket, with requests as promises. */
export class FrontEnd {
  readonly poller: MainPoller = new MainPoller();
  /** For bytes that are no message. */
  readonly stream: UnixStream;
  readonly connection: VhostUserConnection<Table>;
  /** Resolves with the reason when the back-end ends the connection. */
  readonly closed: Promise<string>;
  #waiting: ((answer: Answer) => void)[] = [];

  constructor(path: string) {
    let onClosed: (reason: string) => void;
    this.stream = UnixStream.connect(path);
    this.closed = new Promise((resolve) => {
      onClosed = resolve;
    });
    this.connection = new VhostUserConnection({
      stream: this.stream,
      poller: this.poller,
      table: FRONTEND_REQUESTS,
      onReply: (reply: Reply<Table>, fds) =>
        this.#waiting.shift()?.({ payload: reply.payload, fds: fds.take() }),
      onClose: ({ kind, error }) => {
        onClosed(kind);
        for (const wait of this.#waiting.splice(0)) wait({ error });
      },
    });
  }

  /** Sends a request without waiting for anything. */
  send<N extends Name>(name: N, payload: RequestPayload<Table, N>, fds: readonly Fd[] = []): void {
    this.connection.sendRequest(name, payload, fds);
  }

  /** Sends a request that has a reply. */
  async ask<N extends Name>(
    name: N,
    payload: RequestPayload<Table, N>,
  ): Promise<ReplyPayload<Table, N>> {
    const { payload: reply, fds } = await this.askForFds(name, payload);
    closeFds(fds);
    return reply;
  }

  /** As `ask`, with the descriptors of the reply, which become the caller's. */
  async askForFds<N extends Name>(
    name: N,
    payload: RequestPayload<Table, N>,
  ): Promise<{ readonly payload: ReplyPayload<Table, N>; readonly fds: readonly Fd[] }> {
    this.connection.sendRequest(name, payload);
    const { payload: reply, fds } = await this.#reply();
    return { payload: reply as ReplyPayload<Table, N>, fds };
  }

  /** Sends a request with NEED_REPLY; resolves with the acknowledgement, 0 for success. */
  async tell<N extends Name>(
    name: N,
    payload: RequestPayload<Table, N>,
    fds: readonly Fd[] = [],
  ): Promise<number> {
    this.connection.sendRequest(name, payload, fds, true);
    const { payload: result, fds: none } = await this.#reply();
    closeFds(none);
    return Number(result);
  }

  /**
   * The next answer to a request that this side's own table does not know either: it is read from the
   * socket, past the connection, which must not be waiting for anything else.
   */
  async unknownReply(): Promise<{ request: number; result: bigint }> {
    this.connection.pause();
    const bytes = new Uint8Array(20);
    let filled = 0;
    while (filled < bytes.length) {
      const received = this.stream.receive(bytes.subarray(filled));
      if (received === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
      else filled += received.bytes;
    }
    this.connection.resume();
    const view = new DataView(bytes.buffer);
    return { request: view.getUint32(0, true), result: view.getBigUint64(12, true) };
  }

  close(): void {
    this.connection.close();
    this.poller.close();
  }

  async #reply(): Promise<{ payload: unknown; fds: Fd[] }> {
    const answer = await new Promise<Answer>((resolve) => this.#waiting.push(resolve));
    if ('error' in answer) throw answer.error;
    return answer;
  }
}
