import {
  type CloseReason,
  FRONTEND_REQUESTS,
  type ReceivedFds,
  type ShortMessage,
  VhostUserConnection,
} from '@node-vmm/vhost-user';
import { closeFds, errorMessage, type Fd, type UnixStream } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';
import type { MemoryWish } from './device-link.ts';
import {
  type FrontEndOptions,
  FrontEndRequests,
  type FrontendRequest,
} from './front-end-requests.ts';
import type { FileHolder } from './guest-files.ts';

type Table = typeof FRONTEND_REQUESTS;

/** A front-end's connection: messages in, one at a time; replies out; everything undone at its end. */
export class FrontEndConnection implements FileHolder {
  /** Resolves when the connection has ended and everything that it held is released. */
  readonly ended: Promise<void>;
  readonly #options: FrontEndOptions;
  readonly #stream: UnixStream;
  readonly #connection: VhostUserConnection<Table>;
  readonly #requests: FrontEndRequests;
  #work: Promise<void> = Promise.resolve();
  #end: () => void = () => undefined;
  /** Ends the haste once the front-end has gone. */
  #hastened: (() => void) | undefined;

  /**
   * @param stream - becomes the connection's
   * @throws {SysError} when the socket cannot be polled
   */
  constructor(stream: UnixStream, options: FrontEndOptions) {
    this.#options = options;
    this.#stream = stream;
    this.#requests = new FrontEndRequests(this.#options, this);
    this.#connection = new VhostUserConnection({
      stream,
      poller: options.poller,
      table: FRONTEND_REQUESTS,
      onRequest: (message, fds) => this.#onRequest(message, fds),
      onShortage: (message, error) => this.#refuse(message, error),
      onUnknown: (request, acknowledge) => {
        if (!this.#requests.replyAck) return;
        options.logger.warn({ request }, 'unknown request refused');
        acknowledge(1n);
      },
      onPeerLeft: () => this.#hasten(),
      // Who lends memory of a domain takes the end of the connection for the end of all mappings.
      keepsOpen: () => this.#requests.memory.hasForeign,
      onClose: (reason) => {
        this.#logEnd(reason);
        this.#end();
      },
    });
    this.ended = new Promise<void>((resolve) => {
      this.#end = resolve;
    }).then(() => this.#release());
  }

  get memoryRegions(): number {
    return this.#requests.memory.table.entries.length;
  }

  configChanged(): void {
    this.#requests.configChanged();
  }

  memoryReleased(generation: number): void {
    this.#requests.memory.released(generation);
  }

  memoryWanted(wish: MemoryWish): void {
    this.#requests.memory.wanted(wish);
  }

  memoryIdle(memory: number): void {
    this.#requests.memory.idle(memory);
  }

  /** A worker came upon memory of the front-end's that is not there: its guest loses all its devices. */
  memoryFault(): void {
    const { files, name } = this.#options;
    for (const holder of files.sharers(this)) holder.memoryLost(name);
  }

  memoryLost(by: string): void {
    if (!this.#connection.live) return;
    const { logger, name } = this.#options;
    const error = notThere(name, by);
    logger.error({ err: error }, error.message);
    this.close();
  }

  /** Drops the connection; `ended` tells when that is done. */
  close(): void {
    this.#connection.close();
    this.#end();
  }

  #onRequest(message: FrontendRequest, received: ReceivedFds): void {
    const fds = received.take();
    this.#connection.pause();
    this.#work = this.#serve(message, fds);
  }

  async #serve(message: FrontendRequest, fds: Fd[]): Promise<void> {
    const replyFds: Fd[] = [];
    try {
      const reply = await this.#requests.execute(message, fds, replyFds);
      this.#options.logger.debug({ request: message.name }, 'request served');
      if (message.spec.reply !== undefined) this.#reply(message.name, reply, replyFds);
      else this.#acknowledge(message, 0n);
    } catch (error) {
      this.#refuse(message, error);
    } finally {
      closeFds([...fds, ...replyFds]);
    }
    this.#connection.resume();
  }

  /** Nobody waits any more for what is being done. */
  #hasten(): void {
    this.#hastened ??= this.#options.device.hasten();
  }

  /** A refusal that cannot be told ends the connection, as the specification wants. */
  #refuse(message: ShortMessage<Table>, error: unknown): void {
    const { logger } = this.#options;
    const request = message.name;
    const ring = VhostUserBackendError.is(error, 'RING_FAULT');
    if ((message.spec.reply === undefined && this.#acknowledge(message, 1n)) || ring) {
      logger.warn({ request, err: error }, `request refused: ${errorMessage(error)}`);
      return;
    }
    if (!this.#connection.live) return;
    logger.error({ request, err: error }, `connection dropped: ${errorMessage(error)}`);
    this.close();
  }

  /** @returns false when the front-end does not wait for one */
  #acknowledge(message: ShortMessage<Table>, result: bigint): boolean {
    if (!message.needReply || !this.#requests.replyAck) return false;
    this.#reply(message.name, result);
    return true;
  }

  #reply(name: FrontendRequest['name'], payload: unknown, fds: readonly Fd[] = []): void {
    if (!this.#connection.live) return;
    try {
      this.#connection.sendReply(name, payload as never, fds);
    } catch {
      // The connection has closed itself, and `onClose` has told why.
    }
  }

  async #release(): Promise<void> {
    this.#hasten();
    await this.#work;
    this.#hastened?.();
    try {
      await this.#requests.close();
    } finally {
      this.#stream.close();
    }
  }

  #logEnd(reason: CloseReason): void {
    const { logger } = this.#options;
    if (reason.kind === 'peer-closed') logger.info({}, 'front-end disconnected');
    else logger.error({ reason: reason.kind, err: reason.error }, 'connection ended');
  }
}

function notThere(device: string, by: string): VhostUserBackendError {
  const found = by === device ? '' : `, as device ${by} found`;
  const text =
    `Cannot go on with the front-end of device ${device}: some of the guest memory that it shares is ` +
    `not there, because a file was truncated or there is no room for it${found}`;
  return new VhostUserBackendError('MEMORY_FAULT', text, { device });
}
