import { readdirSync, writeSync } from 'node:fs';
import { type InflightArea, protocolFeatureMask } from '@node-vmm/vhost-user';
import {
  asFd,
  closeFd,
  EventFd,
  type Fd,
  MainPoller,
  memfdCreate,
  openFd,
  UnixStream,
} from '@node-vmm/vmm-sys-util';
import { withoutRoom } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  INFLIGHT_PROTOCOL_FEATURE,
  InflightKeeper,
  SUPPORTED_PROTOCOL_FEATURES,
  shouldReconnect,
  VhostUserFrontend,
} from '../../src/index.ts';
import { FakeBackend } from '../../src/testing/index.ts';
import { turns } from '../support/event-loop.ts';

const ACK = protocolFeatureMask('VHOST_USER_PROTOCOL_F_REPLY_ACK');
const INFLIGHT = protocolFeatureMask('VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD');
const SHAPE = { queues: 2, queueSize: 64 };
const REGION = 64 * 17;
const AREA: InflightArea = {
  mmapSize: BigInt(2 * REGION),
  mmapOffset: 0n,
  numQueues: 2,
  queueSize: 64,
};

const code = (text: string): unknown => expect.objectContaining({ code: text });
const openFds = (): number => readdirSync('/proc/self/fd').length;

describe('Requests in flight', () => {
  let poller: MainPoller;
  let before: number;
  let fronts: VhostUserFrontend[];
  let backs: FakeBackend[];

  beforeEach(() => {
    poller = new MainPoller();
    poller.watch(asFd(0), {}, () => undefined).close();
    before = openFds();
    fronts = [];
    backs = [];
  });

  afterEach(async () => {
    for (const front of fronts) front.close();
    for (const back of backs) back.close();
    await turns();
    await expect.poll(openFds).toBe(before);
    poller.close();
  });

  /** @param file - what GET_INFLIGHT_FD is answered with */
  async function connect(
    offered = ACK | INFLIGHT,
    file: () => Fd | undefined = () => memfdCreate('inflight', 2 * REGION),
    area: InflightArea = AREA,
    lacks: () => boolean = () => false,
  ): Promise<[VhostUserFrontend, FakeBackend]> {
    const [ours, theirs] = UnixStream.pair();
    const front = VhostUserFrontend.fromStream(withoutRoom(ours, lacks), {
      poller,
      timeoutMs: 5000,
    });
    const back = new FakeBackend(theirs, poller, offered);
    fronts.push(front);
    backs.push(back);
    back.script['VHOST_USER_GET_INFLIGHT_FD'] = () => {
      const fd = file();
      back.connection.sendReply('VHOST_USER_GET_INFLIGHT_FD', area, fd === undefined ? [] : [fd]);
      if (fd !== undefined) closeFd(fd);
      return 'handled';
    };
    await front.negotiate({
      protocolFeatures: SUPPORTED_PROTOCOL_FEATURES | INFLIGHT_PROTOCOL_FEATURE,
    });
    return [front, back];
  }

  it('are not recorded unless somebody asks for it', async () => {
    const [ours, theirs] = UnixStream.pair();
    const front = VhostUserFrontend.fromStream(ours, { poller });
    const back = new FakeBackend(theirs, poller, ACK | INFLIGHT);
    fronts.push(front);
    backs.push(back);
    await front.negotiate();
    expect(back.acked & INFLIGHT).toBe(0n);
    await expect(front.getInflight(SHAPE)).rejects.toEqual(code('NOT_NEGOTIATED'));
  });

  it('are recorded in one file, which each back-end is given once', async () => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: false });
    const [first, firstBack] = await connect();
    await keeper.handOver(first);
    await keeper.handOver(first);
    expect(firstBack.names.filter((name) => name.includes('INFLIGHT'))).toEqual([
      'GET_INFLIGHT_FD',
      'SET_INFLIGHT_FD',
    ]);
    expect(firstBack.message('VHOST_USER_GET_INFLIGHT_FD')?.payload).toMatchObject({
      numQueues: 2,
      queueSize: 64,
    });
    const [fd] = firstBack.fdsOf('VHOST_USER_SET_INFLIGHT_FD');
    writeSync(fd as number, Uint8Array.of(7, 7), 0, 2, REGION - 1);
    const record = keeper.record;
    const [second, secondBack] = await connect();
    await keeper.handOver(second);
    expect(keeper.record).toBe(record);
    expect(secondBack.names).not.toContain('GET_INFLIGHT_FD');
    expect(secondBack.message('VHOST_USER_SET_INFLIGHT_FD')?.payload).toEqual(AREA);
  });

  it('are known to the process after this one', async () => {
    const options = { ...SHAPE, stateful: true };
    using keeper = new InflightKeeper(options);
    expect(keeper.keep(false)).toEqual({ begun: false });
    const [first, firstBack] = await connect();
    await keeper.handOver(first);
    const [fd] = firstBack.fdsOf('VHOST_USER_SET_INFLIGHT_FD');
    writeSync(fd as number, Uint8Array.of(7, 8), 0, 2, REGION - 1);
    const kept = structuredClone(keeper.keep(false));
    expect(kept.record).toMatchObject({ ...SHAPE, bytes: { length: 2 * REGION } });
    using next = new InflightKeeper(options, kept);
    const [second, secondBack] = await connect();
    await next.handOver(second);
    expect(secondBack.names).not.toContain('GET_INFLIGHT_FD');
    expect(secondBack.message('VHOST_USER_SET_INFLIGHT_FD')?.payload).toEqual(AREA);
    expect(next.keep(false)).toEqual(kept);
    // Somebody may still write to it: a device with state cannot go on by that.
    expect(keeper.keep(true)).toEqual({ begun: true });
    using lost = new InflightKeeper(options, keeper.keep(true));
    const [third] = await connect();
    await expect(lost.handOver(third)).rejects.toEqual(code('STATE_LOST'));
  });

  it.each([
    ['of another size', { queues: 2, queueSize: 32, bytes: new Uint8Array(2 * REGION) }],
    ['that are cut off', { ...SHAPE, bytes: new Uint8Array(100) }],
    ['of which nothing is there', { ...SHAPE, bytes: new Uint8Array(0) }],
  ])('are not taken up %s', (_, record) => {
    const options = { ...SHAPE, stateful: false };
    expect(() => new InflightKeeper(options, { begun: true, record })).toThrow(
      expect.objectContaining({ code: 'WRONG_REPLY' }),
    );
  });

  it('are forgotten with their queue, and those of the others are not', async () => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: false });
    const file = memfdCreate('inflight', 2 * REGION);
    const view = openFd(`/proc/self/fd/${file}`);
    try {
      writeSync(file, new Uint8Array(2 * REGION).fill(7), 0, 2 * REGION, 0);
      const [front] = await connect(ACK | INFLIGHT, () => file);
      await keeper.handOver(front);
      keeper.forget(1);
      keeper.forget(2);
      const { readSync } = await import('node:fs');
      const bytes = new Uint8Array(2 * REGION);
      readSync(view, bytes, 0, bytes.length, 0);
      expect(bytes.subarray(0, REGION)).toEqual(new Uint8Array(REGION).fill(7));
      expect(bytes.subarray(REGION)).toEqual(new Uint8Array(REGION));
    } finally {
      closeFd(view);
    }
  });

  it('are forgotten where a back-end comes that does not record them', async () => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: false });
    const [first] = await connect();
    await keeper.handOver(first);
    const { record } = keeper;
    const [second, back] = await connect(ACK);
    await keeper.handOver(second);
    expect(keeper.record).toBeUndefined();
    expect(back.names.filter((name) => name.includes('INFLIGHT'))).toEqual([]);
    const [third] = await connect();
    await keeper.handOver(third);
    expect(keeper.record).toBeDefined();
    expect(keeper.record).not.toBe(record);
  });

  it.each([
    ['that keeps it, then one that does not', ACK | INFLIGHT, ACK],
    ['that does not, then one that does', ACK, ACK | INFLIGHT],
    ['that does not, twice', ACK, ACK],
  ])('of a device with state cannot be gone on with: a back-end %s', async (_, one, other) => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: true });
    const [first] = await connect(one);
    await keeper.handOver(first);
    const [second] = await connect(other);
    await expect(keeper.handOver(second)).rejects.toEqual(code('STATE_LOST'));
    // And not by one that keeps it either: the state is gone.
    const [third] = await connect();
    await expect(keeper.handOver(third)).rejects.toEqual(code('STATE_LOST'));
  });

  it('of a device with state are not lost by a back-end that never had them', async () => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: true });
    const [first, back] = await connect();
    back.script['VHOST_USER_GET_INFLIGHT_FD'] = () => {
      back.close();
      return 'handled';
    };
    await expect(keeper.handOver(first)).rejects.toEqual(code('CONNECTION_LOST'));
    const [second] = await connect();
    await keeper.handOver(second);
    expect(keeper.record).toBeDefined();
  });

  const small = (): Fd => memfdCreate('inflight', 64);
  const eventFile = (): Fd => EventFd.create().fd;
  const unsealed = (): Fd => openFd('/proc/self/exe', 'r');
  it.each<[string, (() => Fd | undefined) | undefined, Partial<InflightArea>]>([
    ['no file', () => undefined, {}],
    ['a file that is too small', small, {}],
    ['what is no file', eventFile, {}],
    ['a file that may shrink', unsealed, {}],
    ['fewer queues', undefined, { numQueues: 1 }],
    ['other queues', undefined, { queueSize: 32 }],
    ['too few bytes', undefined, { mmapSize: 64n }],
    ['absurdly many bytes', undefined, { mmapSize: 1n << 40n }],
    ['a place beyond its file', undefined, { mmapOffset: 1n << 40n }],
  ])('are not recorded in %s', async (_, file, wrong) => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: false });
    const [front] = await connect(ACK | INFLIGHT, file, { ...AREA, ...wrong });
    await expect(keeper.handOver(front)).rejects.toEqual(code('WRONG_REPLY'));
    expect(keeper.record).toBeUndefined();
    expect(front.live).toBe(true);
  });

  it.each([false, true])(
    'are not recorded where the back-end has none to give (with state: %s)',
    async (stateful) => {
      using keeper = new InflightKeeper({ ...SHAPE, stateful });
      const none = { ...AREA, mmapSize: 0n };
      const [front, back] = await connect(ACK | INFLIGHT, () => undefined, none);
      await expect(front.getInflight(SHAPE)).rejects.toEqual(code('NO_INFLIGHT_AREA'));
      await keeper.handOver(front);
      expect(keeper.record).toBeUndefined();
      expect(back.names).not.toContain('SET_INFLIGHT_FD');
      // The next one makes one, which nothing is in: too late for a device with state.
      const [second] = await connect();
      const next = keeper.handOver(second);
      if (stateful) await expect(next).rejects.toEqual(code('STATE_LOST'));
      else await expect(next).resolves.toBeUndefined();
      expect(keeper.record === undefined).toBe(stateful);
    },
  );

  it('fail by our own shortage where this process has no room for the file, and nothing else does', async () => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: true });
    let lacks = true;
    const [front] = await connect(ACK | INFLIGHT, undefined, AREA, () => lacks);
    await expect(keeper.handOver(front)).rejects.toThrow(
      /^Cannot complete VHOST_USER_GET_INFLIGHT_FD: Cannot take .* \(EMFILE\); raise its limit \(ulimit -n/,
    );
    const failure = await keeper.handOver(front).catch((error: unknown) => error);
    expect(failure).toEqual(code('OUT_OF_DESCRIPTORS'));
    expect(shouldReconnect(failure)).toBe(true);
    expect(front.live).toBe(true);
    lacks = false;
    await keeper.handOver(front);
    expect(keeper.record).toBeDefined();
  });

  it('are not recorded by a back-end that refuses the file', async () => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: false });
    const [front, back] = await connect();
    back.script['VHOST_USER_SET_INFLIGHT_FD'] = () => {
      back.connection.sendReply('VHOST_USER_SET_INFLIGHT_FD' as never, 1n as never);
      return 'handled';
    };
    await expect(keeper.handOver(front)).rejects.toEqual(code('REQUEST_FAILED'));
  });

  it('are of state that is lost where the next back-end refuses the file', async () => {
    using keeper = new InflightKeeper({ ...SHAPE, stateful: true });
    const [first] = await connect();
    await keeper.handOver(first);
    const [second, back] = await connect();
    back.script['VHOST_USER_SET_INFLIGHT_FD'] = () => {
      back.connection.sendReply('VHOST_USER_SET_INFLIGHT_FD' as never, 1n as never);
      return 'handled';
    };
    await expect(keeper.handOver(second)).rejects.toEqual(code('STATE_LOST'));
  });
});
