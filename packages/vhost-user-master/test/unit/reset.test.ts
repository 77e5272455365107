import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CloseReason, protocolFeatureMask } from '@node-vmm/vhost-user';
import { guestAddress, type ShareableMemory } from '@node-vmm/vm-memory';
import {
  asFd,
  closeFd,
  EventFd,
  type Fd,
  MainPoller,
  memfdCreate,
  UnixListener,
  UnixStream,
} from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VhostUserFrontend } from '../../src/index.ts';
import { FakeBackend } from '../../src/testing/index.ts';
import { turns, until } from '../support/event-loop.ts';

const MQ = protocolFeatureMask('VHOST_USER_PROTOCOL_F_MQ');
const ACK = protocolFeatureMask('VHOST_USER_PROTOCOL_F_REPLY_ACK');
const STATUS = protocolFeatureMask('VHOST_USER_PROTOCOL_F_STATUS');
const RESET = protocolFeatureMask('VHOST_USER_PROTOCOL_F_RESET_DEVICE');

const code = (text: string): unknown => expect.objectContaining({ code: text });
const openFds = (): number => readdirSync('/proc/self/fd').length;

describe('a reset that takes a new connection', () => {
  let poller: MainPoller;
  let before: number;
  let directory: string;
  let path: string;
  let listener: UnixListener | undefined;
  let watch: Disposable | undefined;
  let memfd: Fd;
  let kick: EventFd;
  let call: EventFd;
  let front: VhostUserFrontend;
  let closed: CloseReason[];
  let backs: FakeBackend[];
  /** What is done with each stream in place of serving it, in order. */
  let refusals: ((stream: UnixStream) => void)[];
  let offered: bigint;

  beforeEach(async () => {
    poller = new MainPoller();
    // The event loop's own descriptors are made at the first watch.
    poller.watch(asFd(0), {}, () => undefined).close();
    before = openFds();
    directory = mkdtempSync(join(tmpdir(), 'vhost-reset-'));
    path = join(directory, 'vhost.sock');
    memfd = memfdCreate('guest', 0x10000);
    kick = EventFd.create();
    call = EventFd.create();
    backs = [];
    refusals = [];
    offered = MQ | ACK;
    listen();
    closed = [];
    front = await VhostUserFrontend.connect({ path, poller, timeoutMs: 2000 });
    front.onClose((reason) => closed.push(reason));
  });

  afterEach(async () => {
    front.close();
    for (const back of backs) back.close();
    deafen();
    closeFd(memfd);
    kick.close();
    call.close();
    rmSync(directory, { recursive: true });
    await turns();
    expect(poller.size).toBe(0);
    await expect.poll(openFds).toBe(before);
  });

  function listen(): void {
    const opened = UnixListener.bind(path);
    listener = opened;
    watch = poller.watch(opened.fd, { readable: true }, () => {
      for (;;) {
        const stream = opened.accept();
        if (stream === undefined) return;
        const refuse = refusals.shift();
        if (refuse !== undefined) refuse(stream);
        else backs.push(new FakeBackend(stream, poller, offered));
      }
    });
  }

  function deafen(): void {
    watch?.[Symbol.dispose]();
    listener?.close();
    watch = undefined;
    listener = undefined;
  }

  const memory = (): ShareableMemory => ({
    sharedRegions: [
      { guestAddr: guestAddress(0x4000_0000), length: 0x10000n, fd: memfd, fdOffset: 0n },
    ],
  });

  const vring = () => ({
    index: 0,
    size: 256,
    descTable: guestAddress(0x4000_0000),
    availRing: guestAddress(0x4000_1000),
    usedRing: guestAddress(0x4000_2000),
    base: 0,
    kick,
    call,
  });

  async function setUp(): Promise<FakeBackend> {
    await front.negotiate();
    await front.setFeatures(front.deviceFeatures);
    await front.setMemTable(memory());
    await front.startVring(vring());
    return backs[0] as FakeBackend;
  }

  it('gives the back-end all but what a driver sets up', async () => {
    const old = await setUp();
    const seen = old.names.length;
    await front.resetDevice();
    expect(old.names.slice(seen)).toEqual(['GET_VRING_BASE']);
    await until(() => old.closed === 1);
    expect(backs[1]?.names).toEqual([
      'SET_OWNER',
      'GET_FEATURES',
      'GET_PROTOCOL_FEATURES',
      'SET_PROTOCOL_FEATURES',
      'GET_QUEUE_NUM',
      'SET_MEM_TABLE',
    ]);
    expect(closed).toEqual([]);
    expect(front.live).toBe(true);

    await front.setFeatures(front.deviceFeatures);
    await front.startVring(vring());
    expect(backs[1]?.message('VHOST_USER_SET_VRING_ENABLE')?.payload).toMatchObject({ num: 1 });
    // Its end is told as that of any other.
    backs[1]?.close();
    await until(() => closed.length === 1);
  });

  it.each([
    ['has a status that stays', STATUS, 'VHOST_USER_SET_STATUS' as const, 0n],
    ['fails to reset', RESET, 'VHOST_USER_RESET_DEVICE' as const, 1n],
  ])('is made where the back-end %s', async (_title, feature, name, reply) => {
    offered |= feature;
    const old = await setUp();
    await front.setStatus(0xf);
    old.script[name] = () => {
      old.connection.sendReply(name, reply as never);
      return 'handled';
    };
    await front.resetDevice();
    expect(backs).toHaveLength(2);
    expect(closed).toEqual([]);
  });

  it('masks features as before, and says what the new back-end offers', async () => {
    await front.negotiate({ features: 0x1_0000_0000n, protocolFeatures: MQ });
    const [old] = backs;
    offered = MQ | ACK | RESET;
    await front.resetDevice();
    expect(old?.acked).toBe(MQ);
    expect(backs[1]?.acked).toBe(MQ);
    expect(front.deviceFeatures).toBe(0x1_0000_0000n);
  });

  it('is tried again when a back-end that is just leaving takes it', async () => {
    await setUp();
    refusals.push(
      (stream) => stream.close(),
      (stream) => stream.close(),
    );
    await front.resetDevice();
    expect(backs).toHaveLength(2);
    expect(closed).toEqual([]);
  });

  it('is waited for while nobody listens', async () => {
    await setUp();
    deafen();
    rmSync(path, { force: true });
    const reset = front.resetDevice();
    await until(() => !front.live);
    await turns();
    listen();
    await reset;
    expect(backs).toHaveLength(2);
  });

  it('ends the front-end when it does not come about', async () => {
    await setUp();
    deafen();
    rmSync(path, { force: true });
    await expect(front.resetDevice({ timeoutMs: 50 })).rejects.toThrow(code('ENOENT'));
    expect(closed).toMatchObject([{ kind: 'system-error', error: { code: 'ENOENT' } }]);
    expect(front.live).toBe(false);
  });

  it('ends with the front-end', async () => {
    await setUp();
    deafen();
    rmSync(path, { force: true });
    const reset = expect(front.resetDevice()).rejects.toThrow(code('CLOSED'));
    await until(() => !front.live);
    front.close();
    await reset;
    expect(closed).toEqual([]);
  });

  it('ends with the front-end when the new back-end is silent', async () => {
    await setUp();
    const silent: UnixStream[] = [];
    refusals.push((stream) => silent.push(stream));
    const reset = expect(front.resetDevice()).rejects.toThrow(code('CLOSED'));
    await until(() => silent.length === 1);
    front.close();
    await reset;
    for (const stream of silent) stream.close();
  });

  it('can be aborted', async () => {
    await setUp();
    const silent: UnixStream[] = [];
    refusals.push((stream) => silent.push(stream));
    const abort = new AbortController();
    const reset = expect(front.resetDevice({ signal: abort.signal })).rejects.toThrow(
      code('ABORTED'),
    );
    await until(() => silent.length === 1);
    abort.abort();
    await reset;
    expect(closed).toHaveLength(1);
    for (const stream of silent) stream.close();
  });

  it('is one for two resets at once', async () => {
    await setUp();
    await Promise.all([front.resetDevice(), front.resetDevice()]);
    expect(backs).toHaveLength(2);
  });

  it('does not bring a back-end back that was lost', async () => {
    const old = await setUp();
    old.close();
    await until(() => closed.length === 1);
    await expect(front.resetDevice()).rejects.toThrow(code('CONNECTION_LOST'));
    expect(backs).toHaveLength(1);
  });

  it('is not made where it is not wanted', async () => {
    front.close();
    front = await VhostUserFrontend.connect({ path, poller, reconnect: false });
    await front.negotiate();
    await expect(front.resetDevice()).rejects.toThrow(code('CANNOT_RESET'));
    expect(front.live).toBe(true);
  });

  it('comes from whoever gave the stream', async () => {
    front.close();
    const pair = (): UnixStream => {
      const [ours, theirs] = UnixStream.pair();
      backs.push(new FakeBackend(theirs, poller, offered));
      return ours;
    };
    const reconnect = (): Promise<UnixStream> => Promise.resolve(pair());
    front = VhostUserFrontend.fromStream(pair(), { poller, reconnect });
    await front.negotiate();
    const connections = backs.length;
    await front.resetDevice();
    expect(backs).toHaveLength(connections + 1);
    await front.setMemTable(memory());
    expect(backs.at(-1)?.names.at(-1)).toBe('SET_MEM_TABLE');
  });
});
