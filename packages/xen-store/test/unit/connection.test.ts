import { describe, expect, it } from 'vitest';
import {
  Connection,
  encodeMessage,
  encodeStrings,
  type Message,
  MessageParser,
  type Transport,
  type TransportHandler,
  XENSTORE_PAYLOAD_MAX,
  XenStoreError,
  XS_READ,
  XS_WRITE,
} from '../../src/index.ts';

/** A transport that shows what was sent and says what it is told. */
class ScriptedTransport implements Transport {
  readonly name = 'script';
  readonly maxPayload = XENSTORE_PAYLOAD_MAX;
  readonly maxInFlight: number;
  readonly sent: Message[] = [];
  refuse: XenStoreError | undefined;
  closed = false;
  handler: TransportHandler | undefined;

  constructor(maxInFlight: number) {
    this.maxInFlight = maxInFlight;
  }

  start(handler: TransportHandler): void {
    this.handler = handler;
  }

  send(bytes: Uint8Array): void {
    if (this.refuse !== undefined) throw this.refuse;
    new MessageParser().push(bytes, (message) => this.sent.push(message));
  }

  reply(to: Message, text: string, type: number = to.type): void {
    const { requestId, transactionId } = to;
    const payload = encodeStrings(text);
    this.handler?.data(encodeMessage({ type, requestId, transactionId, payload }));
  }

  close(): void {
    this.closed = true;
  }
}

const silent = { watchEvent: () => undefined, lost: () => undefined };
const read = { type: XS_READ, payload: encodeStrings('/a'), action: 'read /a' };
const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);

describe('Connection', () => {
  it('sends no request before its transport can take it', async () => {
    const transport = new ScriptedTransport(1);
    const connection = new Connection(transport, silent);
    const replies = [1, 2, 3].map(() => connection.request(read));
    for (let i = 0; i < 3; i++) {
      expect(transport.sent).toHaveLength(i + 1);
      transport.reply(transport.sent[i] as Message, String(i));
    }
    expect((await Promise.all(replies)).map(text)).toEqual(['0\0', '1\0', '2\0']);
  });

  it('matches replies that come in another order, and ignores those to nobody', async () => {
    const transport = new ScriptedTransport(8);
    const connection = new Connection(transport, silent);
    const first = connection.request(read);
    const second = connection.request(read);
    const [one, two] = transport.sent as [Message, Message];
    expect(one.requestId).not.toBe(two.requestId);
    transport.reply({ ...one, requestId: 0x7777 }, 'nobody');
    transport.reply(two, '2');
    transport.reply(one, '1');
    expect([text(await first), text(await second)]).toEqual(['1\0', '2\0']);
    expect(connection.outstanding).toBe(0);
  });

  it('ends when a reply has another type than its request', async () => {
    const transport = new ScriptedTransport(8);
    const connection = new Connection(transport, silent);
    const request = connection.request(read);
    transport.reply(transport.sent[0] as Message, '', XS_WRITE);
    await expect(request).rejects.toMatchObject({ code: 'PROTOCOL' });
    expect(transport.closed).toBe(true);
  });

  it('rejects only the request that could not be sent', async () => {
    const transport = new ScriptedTransport(8);
    const connection = new Connection(transport, silent);
    transport.refuse = new XenStoreError('EEXIST', 'the driver refuses');
    await expect(connection.request(read)).rejects.toMatchObject({ code: 'EEXIST' });
    transport.refuse = undefined;
    const next = connection.request(read);
    transport.reply(transport.sent[0] as Message, 'v');
    expect(text(await next)).toBe('v\0');
  });
});
