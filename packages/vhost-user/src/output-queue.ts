import { closeFds, dupFd, type Fd, type UnixStream } from '@node-vmm/vmm-sys-util';
import { VhostUserError } from './errors.ts';

interface Pending {
  data: Uint8Array;
  /** Duplicates of ours, sent with the first byte. */
  fds: Fd[];
}

/** Messages that a full socket has not taken yet, in order and bounded. */
export class OutputQueue {
  readonly #stream: UnixStream;
  readonly #limit: number;
  readonly #pending: Pending[] = [];
  #bytes = 0;

  /** @param limit - most bytes to hold */
  constructor(stream: UnixStream, limit: number) {
    this.#stream = stream;
    this.#limit = limit;
  }

  get empty(): boolean {
    return this.#pending.length === 0;
  }

  /**
   * Sends at once what the socket takes and holds the rest.
   *
   * @param fds - stay the caller's, who may close them on return
   * @throws {VhostUserError} OUTPUT_OVERFLOW
   * @throws {SysError} EPIPE, ECONNRESET ...
   */
  send(data: Uint8Array, fds: readonly Fd[]): void {
    let sent = -1;
    if (this.empty) {
      sent = this.#stream.send(data, fds);
      if (sent === data.length) return;
    }
    const rest = sent > 0 ? data.subarray(sent) : data;
    if (this.#bytes + rest.length > this.#limit) {
      throw new VhostUserError(
        'OUTPUT_OVERFLOW',
        `Cannot send a message: the peer leaves ${this.#bytes} bytes unread`,
        { actual: `${this.#bytes + rest.length}`, expected: `at most ${this.#limit}` },
      );
    }
    this.#pending.push({ data: rest, fds: sent > 0 ? [] : duplicate(fds) });
    this.#bytes += rest.length;
  }

  /** Sends what the socket takes now. @throws {SysError} */
  flush(): void {
    for (;;) {
      const head = this.#pending[0];
      if (head === undefined) return;
      const sent = this.#stream.send(head.data, head.fds);
      if (sent < 0) return;
      closeFds(head.fds);
      head.fds = [];
      this.#bytes -= sent;
      if (sent < head.data.length) {
        head.data = head.data.subarray(sent);
        return;
      }
      this.#pending.shift();
    }
  }

  /** Drops everything. */
  clear(): void {
    for (const { fds } of this.#pending.splice(0)) closeFds(fds);
    this.#bytes = 0;
  }
}

function duplicate(fds: readonly Fd[]): Fd[] {
  const copies: Fd[] = [];
  try {
    for (const fd of fds) copies.push(dupFd(fd));
    return copies;
  } catch (error) {
    closeFds(copies);
    throw error;
  }
}
