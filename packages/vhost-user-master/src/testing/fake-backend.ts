import {
  FRONTEND_REQUESTS,
  type ReceivedFds,
  type Request,
  VHOST_USER_HEADER,
  VhostUserConnection,
} from '@node-vmm/vhost-user';
import { closeFds, type Fd, type Poller, type UnixStream } from '@node-vmm/vmm-sys-util';

/** Of a back-end's socket. */
export type Table = typeof FRONTEND_REQUESTS;
/** A request that came from the front-end. */
export type Incoming = Request<Table>;

/** What a script does in place of the ordinary answer, or before it unless it returns 'handled'. */
export type Step = (message: Incoming, fds: ReceivedFds) => unknown;

/** A back-end that answers as one would, except where a test's script says otherwise. */
export class FakeBackend {
  /** Every request, in the order they came. */
  readonly received: Incoming[] = [];
  /** Descriptors of the message of the same index. */
  readonly fds: (Fd[] | undefined)[] = [];
  readonly stream: UnixStream;
  readonly connection: VhostUserConnection<Table>;
  readonly script: Partial<Record<Incoming['name'], Step>> = {};
  features = 0x1_4000_0000n;
  protocolFeatures: bigint;
  queues = 2n;
  memSlots = 16n;
  /** Negotiated by the front-end. */
  acked = 0n;
  config = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  /** Answers GET_CONFIG as libvhost-user does: with the first bytes, whatever the offset. */
  ignoresOffset = false;
  status = 0n;
  /** How often the connection was closed, from either side. */
  closed = 0;

  /** @param stream - connected to the front-end; closed with this back-end */
  constructor(stream: UnixStream, poller: Poller, protocolFeatures = 0n) {
    this.stream = stream;
    this.protocolFeatures = protocolFeatures;
    this.connection = new VhostUserConnection({
      stream,
      poller,
      table: FRONTEND_REQUESTS,
      onRequest: (message, fds) => this.#onRequest(message, fds),
      onClose: () => {
        this.closed++;
      },
    });
  }

  /** Names of what was received, without `VHOST_USER_`. */
  get names(): string[] {
    return this.received.map(({ name }) => name.replace('VHOST_USER_', ''));
  }

  /** The last request of that name. */
  message<N extends Incoming['name']>(name: N): Extract<Incoming, { name: N }> | undefined {
    const found = this.received.findLast((message) => message.name === name);
    return found as Extract<Incoming, { name: N }> | undefined;
  }

  /** Descriptors of the last request of that name. */
  fdsOf(name: Incoming['name']): Fd[] {
    return this.fds[this.received.findLastIndex((message) => message.name === name)] ?? [];
  }

  /** Bytes as they are, whatever they mean. */
  raw(request: number, flags: number, size: number, payload: Uint8Array = new Uint8Array()): void {
    this.stream.send(Buffer.concat([VHOST_USER_HEADER.encode({ request, flags, size }), payload]));
  }

  /** Ends the connection and closes the descriptors that came. Idempotent. */
  close(): void {
    this.connection.close();
    for (const fds of this.fds) closeFds(fds?.splice(0) ?? []);
  }

  #onRequest(message: Incoming, fds: ReceivedFds): void {
    this.received.push(message);
    if (this.script[message.name]?.(message, fds) === 'handled') return;
    this.fds[this.received.length - 1] = fds.take();
    this.answer(message);
  }

  /** Gives the ordinary answer. */
  answer(message: Incoming): void {
    const { connection } = this;
    switch (message.name) {
      case 'VHOST_USER_GET_FEATURES':
        connection.sendReply(message.name, this.features);
        break;
      case 'VHOST_USER_GET_PROTOCOL_FEATURES':
        connection.sendReply(message.name, this.protocolFeatures);
        break;
      case 'VHOST_USER_SET_PROTOCOL_FEATURES':
        this.acked = message.payload;
        connection.codec.options.xenMmap = (message.payload & (1n << 17n)) !== 0n;
        break;
      case 'VHOST_USER_GET_QUEUE_NUM':
        connection.sendReply(message.name, this.queues);
        break;
      case 'VHOST_USER_GET_MAX_MEM_SLOTS':
        connection.sendReply(message.name, this.memSlots);
        break;
      case 'VHOST_USER_GET_VRING_BASE':
        connection.sendReply(message.name, { index: message.payload.index, num: 17 });
        break;
      case 'VHOST_USER_GET_CONFIG': {
        const { offset, flags, data } = message.payload;
        connection.sendReply(message.name, {
          offset,
          flags,
          data: this.ignoresOffset
            ? this.config.slice(0, data.length)
            : this.config.slice(offset, offset + data.length),
        });
        break;
      }
      case 'VHOST_USER_GET_STATUS':
        connection.sendReply(message.name, this.status);
        break;
      case 'VHOST_USER_SET_STATUS':
        this.status = message.payload;
        if (message.needReply) connection.sendReply(message.name, 0n as never);
        break;
      default:
        if (message.needReply) connection.sendReply(message.name, 0n as never);
    }
  }
}
