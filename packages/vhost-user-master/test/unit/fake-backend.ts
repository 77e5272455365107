import {
  FRONTEND_REQUESTS,
  type ReceivedFds,
  type Request,
  VHOST_USER_HEADER,
  VhostUserConnection,
} from '@node-vmm/vhost-user';
import { closeFds, type Fd, type Poller, type UnixStream } from '@node-vmm/vmm-sys-util';

export type Table = typeof FRONTEND_REQUESTS;
export type Incoming = Request<Table>;

/** What a script does in place of the ordinary answer, or before it unless it returns 'handled'. */
export type Step = (message: Incoming, fds: ReceivedFds) => unknown;

/** A back-end that answers as one would, except where a test's script says otherwise. */
export class FakeBackend {
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
  closed = 0;

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

  get names(): string[] {
    return this.received.map(({ name }) => name.replace('VHOST_USER_', ''));
  }

  message<N extends Incoming['name']>(name: N): Extract<Incoming, { name: N }> | undefined {
    const found = this.received.findLast((message) => message.name === name);
    return found as Extract<Incoming, { name: N }> | undefined;
  }

  fdsOf(name: Incoming['name']): Fd[] {
    return this.fds[this.received.findLastIndex((message) => message.name === name)] ?? [];
  }

  /** Bytes as they are, whatever they mean. */
  raw(request: number, flags: number, size: number, payload: Uint8Array = new Uint8Array()): void {
    this.stream.send(Buffer.concat([VHOST_USER_HEADER.encode({ request, flags, size }), payload]));
  }

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

/** Lets the event loop turn until the condition holds; the test's timeout ends a failure. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets the event loop turn a few times. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 1));
}
