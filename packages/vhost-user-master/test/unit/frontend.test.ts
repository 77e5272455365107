import { readdirSync } from 'node:fs';
import { getActiveResourcesInfo } from 'node:process';
import {
  BACKEND_REQUESTS,
  type CloseReason,
  protocolFeatureMask,
  type ReceivedFds,
  VHOST_USER_HEADER,
  VhostUserConnection,
} from '@node-vmm/vhost-user';
import { guestAddress, type ShareableMemory } from '@node-vmm/vm-memory';
import {
  asFd,
  closeFd,
  EventFd,
  type Fd,
  MainPoller,
  memfdCreate,
  UnixStream,
} from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SUPPORTED_PROTOCOL_FEATURES, VhostUserFrontend } from '../../src/index.ts';
import { FakeBackend, type Incoming } from '../../src/testing/index.ts';
import { turns, until } from '../support/event-loop.ts';

const MQ = protocolFeatureMask('VHOST_USER_PROTOCOL_F_MQ');
const ACK = protocolFeatureMask('VHOST_USER_PROTOCOL_F_REPLY_ACK');
const CONFIG = protocolFeatureMask('VHOST_USER_PROTOCOL_F_CONFIG');
const SLOTS = protocolFeatureMask('VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS');
const XEN = protocolFeatureMask('VHOST_USER_PROTOCOL_F_XEN_MMAP');
const STATUS = protocolFeatureMask('VHOST_USER_PROTOCOL_F_STATUS');
const RESET = protocolFeatureMask('VHOST_USER_PROTOCOL_F_RESET_DEVICE');
const REQ = protocolFeatureMask('VHOST_USER_PROTOCOL_F_BACKEND_REQ');

const code = (text: string): unknown => expect.objectContaining({ code: text });
const openFds = (): number => readdirSync('/proc/self/fd').length;

describe('VhostUserFrontend', () => {
  let poller: MainPoller;
  let before: number;
  let memfd: Fd;
  let kick: EventFd;
  let call: EventFd;
  let front: VhostUserFrontend;
  let back: FakeBackend;
  let closed: CloseReason[];

  beforeEach(() => {
    poller = new MainPoller();
    // The event loop's own descriptors are made at the first watch.
    poller.watch(asFd(0), {}, () => undefined).close();
    before = openFds();
    memfd = memfdCreate('guest', 0x10000);
    kick = EventFd.create();
    call = EventFd.create();
    const [ours, theirs] = UnixStream.pair();
    front = VhostUserFrontend.fromStream(ours, { poller, timeoutMs: 30_000 });
    back = new FakeBackend(theirs, poller, MQ);
    closed = [];
    front.onClose((reason) => closed.push(reason));
  });

  afterEach(async () => {
    front.close();
    front.close();
    back.close();
    closeFd(memfd);
    kick.close();
    call.close();
    await turns();
    expect(poller.size).toBe(0);
    await expect.poll(openFds).toBe(before);
  });

  const regions = (count: number, xen = false): ShareableMemory => ({
    sharedRegions: Array.from({ length: count }, (_, i) => ({
      guestAddr: guestAddress(0x4000_0000 + i * 0x10000),
      length: 0x1000n,
      fd: memfd,
      fdOffset: BigInt(i * 0x1000),
      ...(xen ? { xen: { mmapFlags: 1, domid: 9 } } : {}),
    })),
  });

  const vring = (index = 0) => ({
    index,
    size: 256,
    descTable: guestAddress(0x4000_0000),
    availRing: guestAddress(0x4000_1000),
    usedRing: guestAddress(0x4000_2000),
    base: 5,
    kick,
    call,
  });

  describe('negotiation', () => {
    it('agrees on what both sides have, in the order of the specification', async () => {
      back.protocolFeatures = MQ | ACK | CONFIG | SLOTS | (1n << 40n);
      await front.negotiate({ features: 0x1_0000_0000n });
      expect(back.names).toEqual([
        'SET_OWNER',
        'GET_FEATURES',
        'GET_PROTOCOL_FEATURES',
        'SET_PROTOCOL_FEATURES',
        'GET_QUEUE_NUM',
        'GET_MAX_MEM_SLOTS',
      ]);
      expect(back.acked).toBe(MQ | ACK | CONFIG | SLOTS);
      expect(front.protocolFeatures).toBe(back.acked);
      expect(front.deviceFeatures).toBe(0x1_0000_0000n);
      expect(front.queueCount).toBe(2);
      expect(back.received.every(({ needReply }) => !needReply)).toBe(true);
    });

    it('masks device and protocol features', async () => {
      back.features = 0x1_4000_0007n;
      back.protocolFeatures = MQ | ACK;
      await front.negotiate({ features: 0x1_4000_0005n, protocolFeatures: ACK });
      expect(front.deviceFeatures).toBe(0x1_0000_0005n);
      await until(() => back.acked !== 0n);
      expect(back.acked).toBe(ACK);
      expect(front.queueCount).toBeUndefined();
    });

    it('does without protocol features when the back-end has none', async () => {
      back.features = 0x1_0000_0000n;
      await front.negotiate();
      await front.setFeatures(0x1_0000_0000n);
      await front.startVring(vring());
      expect(back.names).toEqual([
        'SET_OWNER',
        'GET_FEATURES',
        'SET_FEATURES',
        'SET_VRING_NUM',
        'SET_VRING_ADDR',
        'SET_VRING_BASE',
        'SET_VRING_CALL',
        'SET_VRING_KICK',
        'GET_FEATURES',
      ]);
      expect(back.message('VHOST_USER_SET_FEATURES')?.payload).toBe(0x1_0000_0000n);
    });

    it('keeps bit 30 from the guest and gives it to the back-end', async () => {
      await front.negotiate();
      expect(front.deviceFeatures & (1n << 30n)).toBe(0n);
      await front.setFeatures(0x1_0000_0000n);
      await until(() => back.message('VHOST_USER_SET_FEATURES') !== undefined);
      expect(back.message('VHOST_USER_SET_FEATURES')?.payload).toBe(0x1_4000_0000n);
    });

    it('asks for nothing that it does not know to use', () => {
      expect(SUPPORTED_PROTOCOL_FEATURES).toBe(
        MQ | ACK | CONFIG | SLOTS | XEN | STATUS | RESET | REQ,
      );
    });

    it('must come first', async () => {
      await expect(front.setFeatures(0n)).rejects.toThrow('"negotiate" has not been called');
    });
  });

  describe('memory', () => {
    it('shares up to eight regions by SET_MEM_TABLE, user addresses equal to guest addresses', async () => {
      await front.negotiate();
      await front.setMemTable(regions(8));
      await until(() => back.message('VHOST_USER_SET_MEM_TABLE') !== undefined);
      const table = back.message('VHOST_USER_SET_MEM_TABLE')?.payload;
      expect(table?.length).toBe(8);
      expect(table?.[1]).toEqual({
        guestAddr: 0x4001_0000n,
        userAddr: 0x4001_0000n,
        size: 0x1000n,
        mmapOffset: 0x1000n,
      });
      expect(back.fdsOf('VHOST_USER_SET_MEM_TABLE').length).toBe(8);
    });

    it('refuses more than eight without memory slots', async () => {
      await front.negotiate();
      await expect(front.setMemTable(regions(9))).rejects.toThrow(code('TOO_MANY_REGIONS'));
      expect(back.names).not.toContain('SET_MEM_TABLE');
    });

    it('adds the others one by one with memory slots, up to their number', async () => {
      back.protocolFeatures = SLOTS | ACK;
      await front.negotiate();
      await front.setMemTable(regions(16));
      expect(back.names.slice(-9)).toEqual([
        'SET_MEM_TABLE',
        ...Array.from({ length: 8 }, () => 'ADD_MEM_REG'),
      ]);
      expect(back.message('VHOST_USER_ADD_MEM_REG')?.payload.guestAddr).toBe(0x400f_0000n);
      await expect(front.setMemTable(regions(17))).rejects.toThrow(code('TOO_MANY_REGIONS'));
    });

    it('keeps to the slots also when they are fewer than eight', async () => {
      back.protocolFeatures = SLOTS;
      back.memSlots = 3n;
      await front.negotiate();
      await expect(front.setMemTable(regions(4))).rejects.toThrow(code('TOO_MANY_REGIONS'));
    });

    it('describes Xen memory once XEN_MMAP was negotiated, and other memory as unix', async () => {
      back.protocolFeatures = XEN | ACK;
      await front.negotiate();
      await front.setMemTable(regions(1, true));
      expect(back.message('VHOST_USER_SET_MEM_TABLE')?.payload[0]?.xen).toEqual({
        mmapFlags: 1,
        domid: 9,
      });
      await front.setMemTable(regions(1));
      expect(back.message('VHOST_USER_SET_MEM_TABLE')?.payload[0]?.xen).toEqual({
        mmapFlags: 0,
        domid: 0,
      });
    });

    it('does not offer Xen memory to a back-end that cannot map it', async () => {
      await front.negotiate();
      await expect(front.setMemTable(regions(1, true))).rejects.toThrow(code('XEN_MMAP_MISSING'));
    });

    it('reports a table that the back-end refuses', async () => {
      back.protocolFeatures = ACK;
      back.script['VHOST_USER_SET_MEM_TABLE'] = (message) => {
        back.connection.sendReply(message.name, 1n as never);
        return 'handled';
      };
      await front.negotiate();
      await expect(front.setMemTable(regions(1))).rejects.toThrow(code('REQUEST_FAILED'));
      expect(front.live).toBe(true);
    });

    it('needs a region', async () => {
      await front.negotiate();
      await expect(front.setMemTable(regions(0))).rejects.toThrow(RangeError);
    });
  });

  describe('vrings', () => {
    it.each([
      ['with acknowledgements', MQ | ACK],
      ['without acknowledgements', MQ],
    ])('starts one %s and kicks it once it is enabled', async (_title, features) => {
      back.protocolFeatures = features;
      let kickedEarly = false;
      back.script['VHOST_USER_SET_VRING_ENABLE'] = () => {
        kickedEarly = kick.drain();
      };
      await front.negotiate();
      const err = EventFd.create();
      await front.startVring({ ...vring(1), err });
      err.close();
      expect(back.names.slice(back.names.indexOf('SET_VRING_NUM'))).toEqual([
        'SET_VRING_NUM',
        'SET_VRING_ADDR',
        'SET_VRING_BASE',
        'SET_VRING_ERR',
        'SET_VRING_CALL',
        'SET_VRING_KICK',
        'SET_VRING_ENABLE',
        ...((features & ACK) === 0n ? ['GET_FEATURES'] : []),
      ]);
      expect(back.message('VHOST_USER_SET_VRING_ADDR')?.payload).toEqual({
        index: 1,
        flags: 0,
        descTable: 0x4000_0000n,
        availRing: 0x4000_1000n,
        usedRing: 0x4000_2000n,
        log: 0n,
      });
      expect(back.message('VHOST_USER_SET_VRING_BASE')?.payload).toEqual({ index: 1, num: 5 });
      expect(kickedEarly).toBe(false);
      const theirKick = EventFd.fromFd(back.fdsOf('VHOST_USER_SET_VRING_KICK')[0] as Fd);
      expect(theirKick.drain()).toBe(true);
      const theirCall = EventFd.fromFd(back.fdsOf('VHOST_USER_SET_VRING_CALL')[0] as Fd);
      theirCall.signal();
      expect(call.drain()).toBe(true);
    });

    it('reports a back-end that refuses to enable, and does not kick', async () => {
      back.protocolFeatures = ACK;
      back.script['VHOST_USER_SET_VRING_ENABLE'] = (message) => {
        back.connection.sendReply(message.name, 22n as never);
        return 'handled';
      };
      await front.negotiate();
      await expect(front.startVring(vring())).rejects.toThrow(code('REQUEST_FAILED'));
      expect(kick.drain()).toBe(false);
    });

    it('notices a back-end that hangs up instead of acknowledging', async () => {
      back.script['VHOST_USER_SET_VRING_ENABLE'] = () => {
        back.close();
        return 'handled';
      };
      await front.negotiate();
      await expect(front.startVring(vring())).rejects.toThrow(code('CONNECTION_LOST'));
      expect(closed).toMatchObject([{ kind: 'peer-closed' }]);
    });

    it('stops one and returns where it was', async () => {
      await front.negotiate();
      await front.startVring(vring());
      await expect(front.stopVring(0)).resolves.toBe(17);
      expect(back.message('VHOST_USER_GET_VRING_BASE')?.payload).toEqual({ index: 0, num: 0 });
    });

    it('does not take the answer for another vring', async () => {
      back.script['VHOST_USER_GET_VRING_BASE'] = (message) => {
        back.connection.sendReply(message.name, { index: 1, num: 0 } as never);
        return 'handled';
      };
      await front.negotiate();
      await expect(front.stopVring(0)).rejects.toThrow(code('WRONG_REPLY'));
    });

    it('knows how many there are', async () => {
      await front.negotiate();
      await expect(front.startVring(vring(2))).rejects.toThrow(RangeError);
      await expect(front.stopVring(-1)).rejects.toThrow(RangeError);
    });

    it.each([
      ['2^64-1', 0xffff_ffff_ffff_ffffn],
      ['2^16', 0x10000n],
    ])('caps a back-end that claims %s queues', async (_title, queues) => {
      back.queues = queues;
      await front.negotiate();
      await expect(front.startVring(vring(256))).rejects.toThrow(RangeError);
    });
  });

  describe('configuration space', () => {
    beforeEach(() => {
      back.protocolFeatures = CONFIG | ACK;
    });

    it('reads from offset 0, as every back-end can', async () => {
      await front.negotiate();
      await expect(front.getConfig(2, 3)).resolves.toEqual(Uint8Array.of(3, 4, 5));
      expect(back.message('VHOST_USER_GET_CONFIG')?.payload).toMatchObject({ offset: 0, flags: 0 });
    });

    it('reads beyond 256 bytes at the offset itself', async () => {
      back.config = Uint8Array.from({ length: 4096 }, (_, i) => i);
      await front.negotiate();
      await expect(front.getConfig(1000, 2)).resolves.toEqual(Uint8Array.of(232, 233));
      await expect(front.getConfig(4095, 2)).rejects.toThrow(code('INVALID_PAYLOAD'));
      expect(front.live).toBe(true);
    });

    it.each([
      ['counts', (i: number) => i, 'ignores the offset'],
      // Nothing tells one byte from another.
      ['is all alike', () => 7, 'may ignore the offset'],
    ])('does not take the first bytes for later ones where it %s', async (_title, byte, text) => {
      back.config = Uint8Array.from({ length: 512 }, (_, i) => byte(i));
      back.ignoresOffset = true;
      await front.negotiate();
      const error: unknown = await front.getConfig(256, 4).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'WRONG_REPLY' });
      expect(String(error)).toContain(text);
      await expect(front.getConfig(252, 4)).resolves.toEqual(
        Uint8Array.from({ length: 4 }, (_, i) => byte(252 + i)),
      );
    });

    it('does not take a window at another offset for the one it asked for', async () => {
      await front.negotiate();
      back.script.VHOST_USER_GET_CONFIG = () => {
        const window = { offset: 4, flags: 0, data: new Uint8Array(4) };
        back.connection.sendReply('VHOST_USER_GET_CONFIG', window);
        return 'handled';
      };
      await expect(front.getConfig(0, 4)).rejects.toThrow(code('WRONG_REPLY'));
    });

    it('writes with flags 0', async () => {
      await front.negotiate();
      await front.setConfig(4, Uint8Array.of(9));
      expect(back.message('VHOST_USER_SET_CONFIG')?.payload).toEqual({
        offset: 4,
        flags: 0,
        data: Uint8Array.of(9),
      });
    });

    it('tells refusal from a wrong length', async () => {
      await front.negotiate();
      back.config = new Uint8Array();
      await expect(front.getConfig(0, 4)).rejects.toThrow(code('REQUEST_FAILED'));
      back.config = new Uint8Array(3);
      await expect(front.getConfig(0, 4)).rejects.toThrow(code('WRONG_REPLY'));
    });

    it('does not ask a back-end without it', async () => {
      back.protocolFeatures = MQ;
      await front.negotiate();
      await expect(front.getConfig(0, 4)).rejects.toThrow(code('NOT_NEGOTIATED'));
      await expect(front.setConfig(0, Uint8Array.of(1))).rejects.toThrow(code('NOT_NEGOTIATED'));
      await expect(front.request('VHOST_USER_GET_STATUS', undefined)).rejects.toThrow(
        code('NOT_NEGOTIATED'),
      );
    });
  });

  describe('reset', () => {
    it.each([
      ['by RESET_DEVICE', RESET | STATUS, ['GET_VRING_BASE', 'RESET_DEVICE']],
      ['by STATUS', STATUS, ['GET_VRING_BASE', 'SET_STATUS', 'GET_STATUS']],
    ])('happens %s', async (_title, features, expected) => {
      back.protocolFeatures = features | ACK;
      await front.negotiate();
      await front.startVring(vring());
      const seen = back.names.length;
      await front.resetDevice();
      expect(back.names.slice(seen)).toEqual(expected);
      await front.resetDevice();
      expect(back.names.slice(seen + expected.length)).toEqual(expected.slice(1));
    });

    it('does not happen without a message or a new connection for it, and says so', async () => {
      await front.negotiate();
      await front.startVring(vring());
      const seen = back.names.length;
      await expect(front.resetDevice()).rejects.toThrow(code('CANNOT_RESET'));
      expect(back.names.slice(seen)).toEqual(['GET_VRING_BASE']);
      expect(front.live).toBe(true);
      expect(closed).toEqual([]);
    });

    it('passes the status on where it can', async () => {
      back.protocolFeatures = STATUS | ACK;
      await front.negotiate();
      await front.setStatus(0xf);
      expect(back.message('VHOST_USER_SET_STATUS')?.payload).toBe(0xfn);
    });
  });

  describe('replies', () => {
    it('may come in pieces', async () => {
      back.script['VHOST_USER_GET_FEATURES'] = () => {
        const reply = new Uint8Array([1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        void (async () => {
          for (const byte of reply) {
            back.stream.send(Uint8Array.of(byte));
            await turns(1);
          }
        })();
        return 'handled';
      };
      await front.negotiate();
      expect(front.deviceFeatures).toBe(7n);
    });

    it('time out, and a late one disturbs nobody', async () => {
      await front.negotiate();
      const event = EventFd.create();
      let late: Incoming | undefined;
      back.script['VHOST_USER_GET_VRING_BASE'] = (message) => {
        if (late !== undefined) return undefined;
        late = message;
        return 'handled';
      };
      await expect(front.stopVring(0, { timeoutMs: 20 })).rejects.toThrow(code('TIMEOUT'));
      const next = front.stopVring(1);
      back.answer(late as Incoming);
      await expect(next).resolves.toBe(17);
      expect(front.live).toBe(true);
      event.close();
    });

    it('leave no timer behind', async () => {
      const timers = (): number =>
        getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
      await front.negotiate();
      const idle = timers();
      const stopped = front.stopVring(0);
      expect(timers()).toBe(idle + 1);
      await stopped;
      // Those of the one that runs the tests come and go.
      await until(() => timers() <= idle);
    });

    it('are not waited for once aborted', async () => {
      await front.negotiate();
      back.script['VHOST_USER_GET_VRING_BASE'] = () => 'handled';
      const controller = new AbortController();
      const stopped = front.stopVring(0, { signal: controller.signal });
      controller.abort();
      await expect(stopped).rejects.toThrow(code('ABORTED'));
      await expect(front.stopVring(0, { signal: controller.signal })).rejects.toThrow(
        code('ABORTED'),
      );
    });

    it('close descriptors that come with a late one', async () => {
      back.protocolFeatures = protocolFeatureMask('VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD');
      await front.negotiate({ protocolFeatures: back.protocolFeatures });
      const area = { mmapSize: 0n, mmapOffset: 0n, numQueues: 1, queueSize: 256 };
      back.script['VHOST_USER_GET_INFLIGHT_FD'] = () => 'handled';
      await expect(
        front.request('VHOST_USER_GET_INFLIGHT_FD', area, { timeoutMs: 10 }),
      ).rejects.toThrow(code('TIMEOUT'));
      const count = openFds();
      back.connection.sendReply('VHOST_USER_GET_INFLIGHT_FD', area, [memfd]);
      await turns();
      await expect.poll(openFds).toBe(count);
      const answer = front.request('VHOST_USER_GET_INFLIGHT_FD', area);
      back.connection.sendReply('VHOST_USER_GET_INFLIGHT_FD', area, [memfd]);
      const { fds } = await answer;
      expect(fds.length).toBe(1);
      closeFd(fds[0] as Fd);
    });

    it('keep their order with many requests under way', async () => {
      await front.negotiate();
      const done: number[] = [];
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          await front.stopVring(i % 2);
          done.push(i);
        }),
      );
      expect(done).toEqual(Array.from({ length: 50 }, (_, i) => i));
    });

    it('are bounded in number', async () => {
      await front.negotiate();
      back.script['VHOST_USER_GET_VRING_BASE'] = () => 'handled';
      const many = Array.from({ length: 300 }, () => front.stopVring(0));
      const settled = Promise.allSettled(many);
      await expect(many[299]).rejects.toThrow(code('TOO_MANY_REQUESTS'));
      front.close();
      const results = await settled;
      expect(results[0]).toMatchObject({ reason: { code: 'CLOSED' } });
    });
  });

  describe('hostile back-ends', () => {
    const u64 = new Uint8Array(8);
    const attacks: [string, (b: FakeBackend) => void][] = [
      ['the reply to another request', (b) => b.raw(17, 0x5, 8, u64)],
      ['a request in place of a reply', (b) => b.raw(1, 0x1, 0)],
      ['a length of 2^16', (b) => b.raw(1, 0x5, 0x10000)],
      ['a length of 2^32-1', (b) => b.raw(1, 0x5, 0xffff_ffff)],
      ['a payload that is too short', (b) => b.raw(1, 0x5, 4, new Uint8Array(4))],
      ['another version', (b) => b.raw(1, 0x6, 8, u64)],
      ['an unknown request', (b) => b.raw(99, 0x5, 8, u64)],
      [
        'descriptors nobody asked for',
        (b) =>
          b.stream.send(
            Buffer.concat([VHOST_USER_HEADER.encode({ request: 1, flags: 5, size: 8 }), u64]),
            [memfd],
          ),
      ],
    ];
    it.each(attacks)('send %s: refused, once, everything released', async (_title, attack) => {
      back.script['VHOST_USER_GET_FEATURES'] = () => {
        attack(back);
        return 'handled';
      };
      await expect(front.negotiate()).rejects.toMatchObject({
        code: 'CONNECTION_LOST',
        context: { reason: 'protocol-error' },
      });
      expect(front.live).toBe(false);
      expect(closed).toMatchObject([{ kind: 'protocol-error' }]);
      await until(() => back.closed === 1);
    });

    it('send replies that nobody waits for', async () => {
      await front.negotiate();
      back.raw(1, 0x5, 8, u64);
      await until(() => closed.length > 0);
      expect(closed).toMatchObject([
        { kind: 'protocol-error', error: { code: 'UNEXPECTED_REPLY' } },
      ]);
    });

    it('hang up in the middle of a reply', async () => {
      back.script['VHOST_USER_GET_FEATURES'] = () => {
        back.raw(1, 0x5, 8, new Uint8Array(3));
        back.close();
        return 'handled';
      };
      await expect(front.negotiate()).rejects.toThrow('middle of a message');
    });

    it('die with requests under way: all of them reject, and every later one', async () => {
      await front.negotiate();
      back.script['VHOST_USER_GET_VRING_BASE'] = () => 'handled';
      const pending = Promise.allSettled([front.stopVring(0), front.stopVring(1)]);
      await until(() => back.names.filter((name) => name === 'GET_VRING_BASE').length === 2);
      back.close();
      expect(await pending).toMatchObject([
        { status: 'rejected', reason: { code: 'CONNECTION_LOST' } },
        { status: 'rejected', reason: { code: 'CONNECTION_LOST' } },
      ]);
      await expect(front.stopVring(0)).rejects.toThrow(code('CONNECTION_LOST'));
      expect(closed.length).toBe(1);
    });
  });

  describe('the channel of the back-end', () => {
    interface Channel {
      connection: VhostUserConnection<typeof BACKEND_REQUESTS>;
      replies: [string, unknown][];
      closed: CloseReason[];
    }
    async function open(features = REQ | ACK): Promise<Channel> {
      back.protocolFeatures = features;
      let stream: UnixStream | undefined;
      back.script['VHOST_USER_SET_BACKEND_REQ_FD'] = (_message, fds: ReceivedFds) => {
        stream = UnixStream.fromFd(fds.take()[0] as Fd);
      };
      await front.negotiate();
      await until(() => stream !== undefined);
      const channel: Omit<Channel, 'connection'> = { replies: [], closed: [] };
      const connection = new VhostUserConnection({
        stream: stream as UnixStream,
        poller,
        table: BACKEND_REQUESTS,
        onReply: ({ name, payload }) => channel.replies.push([name, payload]),
        onClose: (reason) => channel.closed.push(reason),
      });
      return Object.assign(channel, { connection });
    }

    it('tells of configuration changes and acknowledges them', async () => {
      let changes = 0;
      front.onConfigChange(() => changes++);
      const { connection, replies } = await open();
      connection.sendRequest('VHOST_USER_BACKEND_CONFIG_CHANGE_MSG', undefined);
      connection.sendRequest('VHOST_USER_BACKEND_CONFIG_CHANGE_MSG', undefined, [], true);
      await until(() => replies.length > 0);
      expect(replies).toEqual([['VHOST_USER_BACKEND_CONFIG_CHANGE_MSG', 0n]]);
      expect(changes).toBe(2);
      connection.close();
    });

    it('refuses what is not served, with descriptors or without', async () => {
      const { connection, replies } = await open();
      connection.sendRequest(
        'VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG',
        { index: 0, hasFd: true, size: 4096n, offset: 0n },
        [memfd],
        true,
      );
      connection.sendRequest('VHOST_USER_BACKEND_VRING_CALL', { index: 0, num: 0 });
      const uuid = Uint8Array.from({ length: 16 }, (_, i) => i);
      connection.sendRequest('VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP', uuid);
      await until(() => replies.length === 2);
      expect(replies).toEqual([
        ['VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG', 1n],
        ['VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP', 1n],
      ]);
      connection.close();
    });

    it('does not acknowledge what was not negotiated', async () => {
      const { connection, replies } = await open(REQ);
      const uuid = Uint8Array.from({ length: 16 }, (_, i) => i);
      connection.sendRequest('VHOST_USER_BACKEND_CONFIG_CHANGE_MSG', undefined, [], true);
      connection.sendRequest('VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP', uuid);
      await until(() => replies.length > 0);
      expect(replies).toEqual([['VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP', 1n]]);
      connection.close();
    });

    it('may break without the front-end', async () => {
      const channel = await open();
      channel.connection.sendReply('VHOST_USER_BACKEND_VRING_CALL', 0n);
      await until(() => channel.closed.length > 0);
      expect(channel.closed).toMatchObject([{ kind: 'peer-closed' }]);
      await expect(front.stopVring(0)).resolves.toBe(17);
      expect(closed).toEqual([]);
    });

    it('is let go of when the back-end dies', async () => {
      back.protocolFeatures = REQ | ACK;
      let remote: Fd | undefined;
      back.script['VHOST_USER_SET_BACKEND_REQ_FD'] = (_message, fds) => {
        remote = fds.take()[0];
      };
      await front.negotiate();
      const watches = poller.size;
      // As the kernel does it, without a shutdown: this must have been the last copy.
      closeFd(remote as Fd);
      await until(() => poller.size === watches - 1);
      expect(front.live).toBe(true);
    });

    it('closes with the front-end', async () => {
      const channel = await open();
      front.close();
      await until(() => channel.closed.length > 0);
      expect(channel.closed).toMatchObject([{ kind: 'peer-closed' }]);
    });
  });

  it('closes without a word, and stays closed', async () => {
    await front.negotiate();
    back.script['VHOST_USER_GET_VRING_BASE'] = () => 'handled';
    const pending = front.stopVring(0);
    front.close();
    await expect(pending).rejects.toThrow(code('CLOSED'));
    await expect(front.stopVring(0)).rejects.toThrow(code('CLOSED'));
    await turns();
    expect(closed).toEqual([]);
  });

  it('waits until what is not acknowledged is done', async () => {
    await front.negotiate();
    back.received.length = 0;
    await front.settled();
    expect(back.names).toEqual(['GET_FEATURES']);
  });

  it('knows that what is acknowledged is done', async () => {
    back.protocolFeatures = ACK;
    await front.negotiate();
    back.received.length = 0;
    await front.settled();
    expect(back.names).toEqual([]);
  });

  describe('finish', () => {
    /** The back-end sees the front-end's end, and is in no hurry. @returns closes its own */
    const keepOpen = (): (() => void) => {
      const { connection } = back;
      const { close } = connection;
      connection.close = () => undefined;
      return () => {
        connection.close = close;
        back.close();
      };
    };

    it('waits for the back-end to close, and rejects what is pending at once', async () => {
      await front.negotiate();
      back.script.VHOST_USER_GET_VRING_BASE = () => 'handled';
      const pending = front.stopVring(0);
      await until(() => back.names.includes('GET_VRING_BASE'));
      const close = keepOpen();
      const finished = front.finish(30_000);
      await expect(pending).rejects.toThrow(code('CLOSED'));
      await until(() => back.closed > 0);
      await expect(front.setFeatures(0n)).rejects.toThrow(code('CLOSED'));
      close();
      expect(await finished).toBe(true);
      expect(closed).toEqual([]);
    });

    it('takes what is replied late for nothing', async () => {
      await front.negotiate();
      back.script.VHOST_USER_GET_VRING_BASE = () => 'handled';
      const pending = front.stopVring(0).catch(() => undefined);
      await until(() => back.names.includes('GET_VRING_BASE'));
      const close = keepOpen();
      const finished = front.finish(30_000);
      await pending;
      back.connection.sendReply('VHOST_USER_GET_VRING_BASE', { index: 0, num: 3 });
      await turns();
      close();
      expect(await finished).toBe(true);
      expect(closed).toEqual([]);
    });

    it('closes when the time is over, and is idempotent', async () => {
      await front.negotiate();
      const close = keepOpen();
      expect(await front.finish(20)).toBe(false);
      expect(front.live).toBe(false);
      expect(await front.finish(20)).toBe(true);
      front.close();
      close();
    });
  });
});
