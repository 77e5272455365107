import { readdirSync } from 'node:fs';
import { asFd, EventFd, EventLoop, type Fd, MainPoller, UnixStream } from '@node-vmm/vmm-sys-util';
import { withoutRoom } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  BACKEND_REQUESTS,
  type CloseReason,
  FRONTEND_REQUESTS,
  MessageCodec,
  type ReceivedFds,
  type Reply,
  type Request,
  VHOST_USER_HEADER,
  VhostUserConnection,
  type VhostUserConnectionOptions,
  VhostUserError,
} from '../../src/index.ts';

type Table = typeof FRONTEND_REQUESTS;

const openFds = (): number => readdirSync('/proc/self/fd').length;

class Side {
  readonly requests: Request<Table>[] = [];
  readonly replies: Reply<Table>[] = [];
  readonly fdCounts: number[] = [];
  readonly closed: CloseReason[] = [];
  onRequest: (message: Request<Table>, fds: ReceivedFds) => void = () => undefined;
  readonly connection: VhostUserConnection<Table>;

  constructor(
    stream: UnixStream,
    poller: MainPoller,
    options: Partial<VhostUserConnectionOptions<Table>> = {},
  ) {
    this.connection = new VhostUserConnection({
      stream,
      poller,
      table: FRONTEND_REQUESTS,
      onRequest: (message, fds) => {
        this.requests.push(message);
        this.fdCounts.push(fds.count);
        this.onRequest(message, fds);
      },
      onReply: (message, fds) => {
        this.replies.push(message);
        this.fdCounts.push(fds.count);
      },
      onClose: (reason) => this.closed.push(reason),
      ...options,
    });
  }
}

/** Lets the event loop turn until the condition holds; vitest's timeout ends a failure. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 1));
}

const codec = new MessageCodec(FRONTEND_REQUESTS);
const SET_NUM = codec.encodeRequest('VHOST_USER_SET_VRING_NUM', { index: 1, num: 256 });
const SET_KICK = codec.encodeRequest('VHOST_USER_SET_VRING_KICK', { index: 1, hasFd: true }, 1);

const AREA = { mmapSize: 4096n, mmapOffset: 0n, numQueues: 1, queueSize: 64 };

describe('VhostUserConnection', () => {
  let poller: MainPoller;
  let raw: UnixStream;
  let theirs: UnixStream;
  let before: number;
  let event: EventFd;

  beforeEach(() => {
    // The poll handle's own descriptors are made once per loop.
    using first = new MainPoller();
    first.watch(asFd(0), {}, () => undefined).close();
    first.close();
    before = openFds();
    poller = new MainPoller();
    event = EventFd.create();
    [raw, theirs] = UnixStream.pair();
  });

  afterEach(async () => {
    raw.close();
    event.close();
    poller.close();
    await turns(2);
    await expect.poll(openFds).toBe(before);
  });

  it('carries requests and replies with descriptors both ways', async () => {
    const back = new Side(theirs, poller);
    const front = new Side(raw, poller);
    let taken: Fd[] = [];
    back.onRequest = (message, fds) => {
      if (message.name === 'VHOST_USER_SET_VRING_KICK') taken = fds.take();
      if (message.name === 'VHOST_USER_GET_FEATURES') {
        back.connection.sendReply('VHOST_USER_GET_FEATURES', 0x1_4000_0000n);
      }
    };
    front.connection.sendRequest(
      'VHOST_USER_SET_VRING_KICK',
      { index: 3, hasFd: true },
      [event.fd],
      true,
    );
    front.connection.sendRequest('VHOST_USER_GET_FEATURES', undefined);
    await until(() => front.replies.length === 1);

    expect(back.requests.map(({ name, needReply }) => [name, needReply])).toEqual([
      ['VHOST_USER_SET_VRING_KICK', true],
      ['VHOST_USER_GET_FEATURES', false],
    ]);
    expect(front.replies[0]?.payload).toBe(0x1_4000_0000n);
    const kick = EventFd.fromFd(taken[0] as Fd);
    event.signal();
    expect(kick.drain()).toBe(true);
    kick.close();
    front.connection.close();
    back.connection.close();
  });

  it('attaches descriptors to the right message however the bytes arrive', async () => {
    const back = new Side(theirs, poller);
    for (let i = 0; i < SET_NUM.length; i++) {
      raw.send(SET_NUM.subarray(i, i + 1));
      await turns(1);
    }
    raw.send(SET_KICK.subarray(0, 1), [event.fd]);
    await turns(1);
    raw.send(SET_KICK.subarray(1, 13));
    await turns(1);
    // The rest of one message, a message without and one with a descriptor, without a pause.
    raw.send(SET_KICK.subarray(13));
    raw.send(SET_NUM);
    raw.send(SET_KICK, [event.fd]);
    await until(() => back.requests.length === 4);
    expect(back.requests.map(({ name }) => name)).toEqual([
      'VHOST_USER_SET_VRING_NUM',
      'VHOST_USER_SET_VRING_KICK',
      'VHOST_USER_SET_VRING_NUM',
      'VHOST_USER_SET_VRING_KICK',
    ]);
    expect(back.fdCounts).toEqual([0, 1, 0, 1]);
    back.connection.close();
  });

  it('takes several messages that came as one write', async () => {
    const back = new Side(theirs, poller);
    raw.send(Buffer.concat(Array.from({ length: 200 }, () => SET_NUM)));
    await until(() => back.requests.length === 200);
    back.connection.close();
  });

  it('closes descriptors that a handler does not take', async () => {
    const back = new Side(theirs, poller);
    raw.send(SET_KICK, [event.fd]);
    await until(() => back.requests.length === 1);
    back.connection.close();
  });

  const hostile: [string, Uint8Array, number, VhostUserError['code']][] = [
    ['a descriptor where none is allowed', SET_NUM, 1, 'INVALID_FDS'],
    ['two descriptors where one is allowed', SET_KICK, 2, 'INVALID_FDS'],
    ['no descriptor where one is needed', SET_KICK, 0, 'INVALID_FDS'],
    ['version 0', header(8, 0x0, 8), 0, 'UNSUPPORTED_VERSION'],
    ['version 2', header(8, 0x2, 8), 1, 'UNSUPPORTED_VERSION'],
    ['reserved flags', header(8, 0x11, 8), 1, 'RESERVED_FLAGS'],
    ['request 0', header(0, 0x1, 0), 1, 'UNKNOWN_REQUEST'],
    ['request 45', header(45, 0x1, 0), 1, 'UNKNOWN_REQUEST'],
    ['a length of 4 GiB', header(5, 0x1, 0xffff_ffff), 1, 'INVALID_SIZE'],
    ['a length of 64 KiB', header(24, 0x1, 0x10000), 0, 'INVALID_SIZE'],
    [
      'a reply on the wrong side',
      codec.encodeReply('VHOST_USER_GET_FEATURES', 0n),
      0,
      'WRONG_DIRECTION',
    ],
  ];
  it.each(hostile)('refuses %s', async (_title, bytes, fdCount, code) => {
    const closed: CloseReason[] = [];
    const back = new VhostUserConnection({
      stream: theirs,
      poller,
      table: FRONTEND_REQUESTS,
      onRequest: () => undefined,
      onClose: (reason) => closed.push(reason),
    });
    raw.send(
      bytes,
      Array.from({ length: fdCount }, () => event.fd),
    );
    await until(() => closed.length > 0);
    expect(closed).toMatchObject([{ kind: 'protocol-error', error: { code } }]);
    expect(back.live).toBe(false);
  });

  it('refuses descriptors beyond the limit, of one message and in pieces', async () => {
    const back = new Side(theirs, poller);
    const table = header(5, 0x1, 8 + 32 * 32);
    const many = Array.from({ length: 20 }, () => event.fd);
    raw.send(table.subarray(0, 4), many);
    raw.send(table.subarray(4), many);
    await until(() => back.closed.length > 0);
    expect(back.closed).toMatchObject([{ kind: 'protocol-error', error: { code: 'INVALID_FDS' } }]);
  });

  it('refuses descriptors that the kernel had to cut off', async () => {
    const wide = UnixStream.pair({ maxFds: 100 });
    const narrow = UnixStream.fromFd(asFd(wide[1].fd));
    const back = new Side(narrow, poller);
    wide[0].send(
      SET_KICK,
      Array.from({ length: 90 }, () => event.fd),
    );
    await until(() => back.closed.length > 0);
    expect(back.closed).toMatchObject([
      {
        kind: 'protocol-error',
        error: { code: 'INVALID_FDS', message: expect.stringContaining('more than 32') },
      },
    ]);
    wide[0].close();
    theirs.close();
  });

  it.each([
    [
      'a request',
      codec.encodeRequest('VHOST_USER_SET_VRING_KICK', { index: 1, hasFd: true }, 1, true),
    ],
    ['a reply', codec.encodeReply('VHOST_USER_GET_INFLIGHT_FD', AREA, 1)],
  ])('tells that it had no room for the descriptors of %s, and goes on', async (_what, bytes) => {
    const short: unknown[] = [];
    const back = new Side(withoutRoom(theirs), poller, {
      onShortage: ({ name, reply, needReply }, error) =>
        short.push({ name, reply, needReply, error }),
    });
    // In pieces, and with the next message behind it.
    raw.send(bytes.subarray(0, 5), [event.fd]);
    await turns(2);
    raw.send(Buffer.concat([bytes.subarray(5), SET_NUM]));
    await until(() => back.requests.length === 1);
    const { request, flags } = VHOST_USER_HEADER.decode(bytes);
    const name = request === 31 ? 'VHOST_USER_GET_INFLIGHT_FD' : 'VHOST_USER_SET_VRING_KICK';
    const error = expect.objectContaining({
      code: 'OUT_OF_DESCRIPTORS',
      message: `Cannot take the file descriptors of ${name}: this process may have no more (EMFILE); raise its limit (ulimit -n, of systemd LimitNOFILE) or let it serve fewer`,
    });
    expect(short).toEqual([
      { name, reply: (flags & 4) !== 0, needReply: (flags & 8) !== 0, error },
    ]);
    expect(back.requests.map(({ name }) => name)).toEqual(['VHOST_USER_SET_VRING_NUM']);
    back.connection.close();
  });

  it('ends as by a failed system call where nobody is told of the shortage', async () => {
    const back = new Side(withoutRoom(theirs), poller);
    raw.send(SET_KICK, [event.fd]);
    await until(() => back.closed.length > 0);
    expect(back.closed).toMatchObject([
      { kind: 'system-error', error: { code: 'OUT_OF_DESCRIPTORS', cause: { code: 'EMFILE' } } },
    ]);
  });

  it('is told nothing of a shortage by a message on the wrong side, or that may have no descriptors', async () => {
    const short: unknown[] = [];
    const onShortage = (message: unknown): unknown => short.push(message);
    const back = new Side(withoutRoom(theirs), poller, { onShortage });
    raw.send(SET_NUM, [event.fd]);
    await until(() => back.closed.length > 0);
    expect(back.closed).toMatchObject([{ kind: 'protocol-error', error: { code: 'INVALID_FDS' } }]);

    const [a, b] = UnixStream.pair();
    const closed: CloseReason[] = [];
    const { connection } = new Side(raw, poller);
    connection.close();
    new VhostUserConnection({
      stream: withoutRoom(b),
      poller,
      table: FRONTEND_REQUESTS,
      onReply: () => undefined,
      onShortage,
      onClose: (reason) => closed.push(reason),
    });
    a.send(SET_KICK, [event.fd]);
    await until(() => closed.length > 0);
    expect(closed).toMatchObject([{ kind: 'protocol-error', error: { code: 'WRONG_DIRECTION' } }]);
    expect(short).toEqual([]);
    a.close();
  });

  it('closes the descriptors of a message that never ends', async () => {
    const back = new Side(theirs, poller);
    raw.send(SET_KICK.subarray(0, 15), [event.fd]);
    await turns(3);
    raw.close();
    await until(() => back.closed.length > 0);
    expect(back.closed).toMatchObject([
      { kind: 'peer-closed', error: { message: expect.stringContaining('middle of a message') } },
    ]);
    expect(back.requests).toEqual([]);
  });

  it('delivers what came before the peer closed, then reports it once', async () => {
    const back = new Side(theirs, poller);
    raw.send(Buffer.concat(Array.from({ length: 100 }, () => SET_NUM)));
    raw.close();
    await until(() => back.closed.length > 0);
    await turns(3);
    expect(back.requests.length).toBe(100);
    expect(back.closed).toMatchObject([{ kind: 'peer-closed' }]);
    expect(() => back.connection.sendReply('VHOST_USER_SET_OWNER', 0n)).toThrow(
      expect.objectContaining({ code: 'CLOSED' }),
    );
  });

  it('stays silent after close', async () => {
    const back = new Side(theirs, poller);
    raw.send(SET_NUM);
    back.connection.close();
    back.connection.close();
    await turns(3);
    expect(back.requests).toEqual([]);
    expect(back.closed).toEqual([]);
  });

  it('keeps order and descriptors when the socket is full', async () => {
    const front = new Side(raw, poller, { maxQueuedBytes: 1 << 20 });
    let sent = 0;
    while (!front.connection.congested) {
      front.connection.sendRequest('VHOST_USER_SET_VRING_BASE', { index: 0, num: sent++ });
    }
    const mine = event.clone();
    front.connection.sendRequest('VHOST_USER_SET_VRING_KICK', { index: 0, hasFd: true }, [mine.fd]);
    mine.close();
    front.connection.sendRequest('VHOST_USER_SET_VRING_BASE', { index: 0, num: sent++ });

    const back = new Side(theirs, poller);
    let kicks = 0;
    back.onRequest = (message, fds) => {
      if (message.name === 'VHOST_USER_SET_VRING_KICK') kicks += fds.count;
    };
    await until(() => back.requests.length === sent + 1);
    const bases = back.requests.flatMap((message) =>
      message.name === 'VHOST_USER_SET_VRING_BASE' ? [message.payload.num] : [],
    );
    expect(bases).toEqual(Array.from({ length: sent }, (_, i) => i));
    expect(kicks).toBe(1);
    expect(front.connection.congested).toBe(false);
    front.connection.close();
    back.connection.close();
  });

  it('gives up on a peer that never reads', () => {
    const front = new Side(raw, poller, { maxQueuedBytes: 4096 });
    const flood = (): void => {
      for (;;) {
        front.connection.sendRequest('VHOST_USER_SET_VRING_KICK', { index: 0, hasFd: true }, [
          event.fd,
        ]);
      }
    };
    expect(flood).toThrow(expect.objectContaining({ code: 'OUTPUT_OVERFLOW' }));
    expect(front.closed).toMatchObject([{ kind: 'protocol-error' }]);
    theirs.close();
  });

  it('hands over nothing while paused, in order afterwards', async () => {
    const back = new Side(theirs, poller);
    back.onRequest = () => back.connection.pause();
    raw.send(Buffer.concat([SET_NUM, SET_NUM]));
    await until(() => back.requests.length === 1);
    await turns(3);
    expect(back.requests.length).toBe(1);
    expect(poller.size).toBe(0);
    back.connection.resume();
    await until(() => back.requests.length === 2);
    back.connection.close();
  });

  it('notices on resume that the peer went away while paused', async () => {
    const back = new Side(theirs, poller);
    back.connection.pause();
    raw.close();
    await turns(2);
    expect(back.closed).toEqual([]);
    back.connection.resume();
    await until(() => back.closed.length > 0);
    expect(back.closed).toMatchObject([{ kind: 'peer-closed' }]);
  });

  it('says once that the peer left while paused, and what it sent before comes all the same', async () => {
    let left = 0;
    const names: string[] = [];
    const closed: string[] = [];
    const back = new VhostUserConnection({
      stream: theirs,
      poller,
      table: FRONTEND_REQUESTS,
      onRequest: ({ name }) => {
        names.push(name);
        if (names.length === 1) back.pause();
      },
      onPeerLeft: () => left++,
      onClose: ({ kind }) => closed.push(kind),
    });
    raw.send(Buffer.concat([SET_NUM, SET_NUM]));
    await until(() => names.length === 1);
    await turns(3);
    expect(left).toBe(0);
    raw.endWriting();
    await until(() => left === 1);
    await turns(5);
    // A hang-up that is known is not told again and again.
    expect([left, names.length, closed.length, poller.size]).toEqual([1, 1, 0, 0]);
    back.resume();
    await until(() => closed.length > 0);
    expect([left, names.length, closed]).toEqual([1, 2, ['peer-closed']]);
  });

  it('decodes by what was negotiated a message ago', async () => {
    const back = new Side(theirs, poller);
    back.onRequest = (message) => {
      if (message.name === 'VHOST_USER_SET_PROTOCOL_FEATURES') {
        back.connection.codec.options.xenMmap = true;
      }
    };
    const front = new MessageCodec(FRONTEND_REQUESTS);
    raw.send(front.encodeRequest('VHOST_USER_SET_PROTOCOL_FEATURES', 1n << 17n));
    front.options.xenMmap = true;
    const region = {
      guestAddr: 0x4000_0000n,
      size: 0x1000n,
      userAddr: 0x4000_0000n,
      mmapOffset: 0n,
      xen: { mmapFlags: 1, domid: 7 },
    };
    raw.send(front.encodeRequest('VHOST_USER_SET_MEM_TABLE', [region], 1), [event.fd]);
    await until(() => back.requests.length === 2);
    expect(back.requests[1]?.payload).toEqual([region]);
    back.connection.close();
  });

  it('treats a protocol error of a handler as one of the peer, another error as internal', async () => {
    const back = new Side(theirs, poller);
    back.onRequest = () => {
      throw new VhostUserError('INVALID_PAYLOAD', 'Cannot set vring 1: there is one queue');
    };
    raw.send(SET_KICK, [event.fd]);
    await until(() => back.closed.length > 0);
    expect(back.closed[0]?.kind).toBe('protocol-error');

    const [a, b] = UnixStream.pair();
    const other = new Side(b, poller);
    other.onRequest = () => {
      throw new TypeError('a bug');
    };
    a.send(SET_NUM);
    await until(() => other.closed.length > 0);
    expect(other.closed[0]).toMatchObject({ kind: 'internal-error', error: expect.any(TypeError) });
    a.close();
  });

  it('sends nothing when the message is invalid, and stays usable', () => {
    const front = new Side(raw, poller);
    expect(() =>
      front.connection.sendRequest('VHOST_USER_SET_OWNER', undefined, [event.fd]),
    ).toThrow(expect.objectContaining({ code: 'INVALID_FDS' }));
    expect(front.connection.live).toBe(true);
    expect(theirs.receive(new Uint8Array(100))).toBeUndefined();
    front.connection.close();
    theirs.close();
  });

  it('serves the channel of the back-end as well', async () => {
    const seen: string[] = [];
    const closed: CloseReason[] = [];
    const front = new VhostUserConnection({
      stream: theirs,
      poller,
      table: BACKEND_REQUESTS,
      onRequest: (message) => seen.push(message.name),
      onClose: (reason) => closed.push(reason),
    });
    raw.send(
      new MessageCodec(BACKEND_REQUESTS).encodeRequest(
        'VHOST_USER_BACKEND_CONFIG_CHANGE_MSG',
        undefined,
      ),
    );
    await until(() => seen.length > 0);
    expect(seen).toEqual(['VHOST_USER_BACKEND_CONFIG_CHANGE_MSG']);
    front.close();
  });

  it('runs on the loop of a worker thread, paused and congested as well', () => {
    const stop = EventFd.create();
    const loop = new EventLoop(stop);
    const names: string[] = [];
    const closed: CloseReason[] = [];
    const back = new VhostUserConnection({
      stream: theirs,
      poller: loop,
      table: FRONTEND_REQUESTS,
      onRequest: (message) => {
        names.push(message.name);
        back.pause();
      },
      onClose: (reason) => closed.push(reason),
    });
    raw.send(Buffer.concat([SET_NUM, SET_NUM]));
    loop.turn(0);
    loop.turn(0);
    expect(names.length).toBe(1);
    while (!back.congested) back.sendReply('VHOST_USER_GET_QUEUE_NUM', 1n);
    back.resume();
    loop.turn(0);
    expect(names.length).toBe(2);
    // Paused and congested: a peer that is gone must not keep the loop busy.
    raw.close();
    loop.turn(0);
    expect(closed).toMatchObject([{ kind: 'peer-closed' }]);
    loop.close();
    stop.close();
  });

  it('releases the socket when it cannot be watched', () => {
    const broken = {
      watch: () => {
        throw new TypeError('no');
      },
    };
    expect(() => new Side(theirs, broken as unknown as MainPoller)).toThrow('no');
    expect(theirs.live).toBe(false);
  });
});

function header(request: number, flags: number, size: number): Uint8Array {
  return VHOST_USER_HEADER.encode({ request, flags, size });
}
