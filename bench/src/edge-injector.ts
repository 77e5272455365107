import { EPOLLIN, Epoll, readFd, UnixStream, writeFd } from '@node-vmm/vmm-sys-util';

const STUCK_MS = 5000;

/** Presses a button of a simulated line, through the daemon's control socket, without Node's event loop. */
export class EdgeInjector {
  readonly #stream: UnixStream;
  readonly #epoll = new Epoll();
  readonly #answer = new Uint8Array(4096);

  /** @param path - the control socket */
  constructor(path: string) {
    this.#stream = UnixStream.connect(path);
    this.#epoll.add(this.#stream.fd, EPOLLIN, 0);
  }

  /** One rising edge and one falling edge. Does not wait for the answer. */
  pulse(line: number): void {
    const command = Buffer.from(`line ${line} pulse\n`);
    writeFd(this.#stream.fd, command, command.length);
  }

  /** Waits for the answer to the last pulse. */
  settle(): void {
    let text = '';
    while (!text.endsWith('\n')) {
      if (this.#epoll.wait(STUCK_MS) === 0) {
        throw new Error(`Cannot go on: no answer from the control socket after ${STUCK_MS} ms`);
      }
      const count = readFd(this.#stream.fd, this.#answer, this.#answer.length);
      if (count === 0) throw new Error('Cannot go on: the control socket was closed');
      if (count > 0) text += Buffer.from(this.#answer.subarray(0, count)).toString();
    }
    if (!text.startsWith('{"ok":true')) throw new Error(`Cannot inject an edge: ${text}`);
  }

  close(): void {
    this.#epoll.close();
    this.#stream.close();
  }
}
