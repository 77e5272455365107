import { setTimeout as delay } from 'node:timers/promises';
import { protocolFeatureMask } from '@node-vmm/vhost-user';
import { guestAddress, type ShareableMemory } from '@node-vmm/vm-memory';
import { closeFd, type Fd, MainPoller, memfdCreate, UnixStream } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { VhostUserFrontend } from '../../src/index.ts';
import { mappingTime } from '../../src/mapping-time.ts';
import { FakeBackend, type Incoming } from '../../src/testing/index.ts';

const MQ = protocolFeatureMask('VHOST_USER_PROTOCOL_F_MQ');
const ACK = protocolFeatureMask('VHOST_USER_PROTOCOL_F_REPLY_ACK');
/** What other requests have. */
const TIMEOUT_MS = 100;
const SLOW_MS = 500;
const GIB = 2n ** 30n;

it('a back-end has a minute for any memory, and one more for each GiB of a Xen guest', () => {
  const region = { guestAddr: 0n, userAddr: 0n, mmapOffset: 0n };
  const xen = { mmapFlags: 1, domid: 3 };
  expect(mappingTime([{ ...region, size: 1n }])).toBe(60_000);
  expect(mappingTime([{ ...region, size: 1024n * GIB }])).toBe(60_000);
  expect(mappingTime([{ ...region, size: 4096n, xen }])).toBe(120_000);
  expect(
    mappingTime([
      { ...region, size: GIB, xen },
      { ...region, size: GIB, xen },
    ]),
  ).toBe(180_000);
});

describe('A back-end that takes long to map memory', () => {
  let poller: MainPoller;
  let memfd: Fd;
  let front: VhostUserFrontend;
  let back: FakeBackend;
  let logger: MemoryLogger;
  let memory: ShareableMemory;

  beforeEach(() => {
    poller = new MainPoller();
    logger = new MemoryLogger();
    memfd = memfdCreate('guest', 0x1000);
    const [ours, theirs] = UnixStream.pair();
    front = VhostUserFrontend.fromStream(ours, { poller, logger, timeoutMs: TIMEOUT_MS });
    back = new FakeBackend(theirs, poller, MQ | ACK);
    const guestAddr = guestAddress(0x4000_0000);
    memory = { sharedRegions: [{ guestAddr, length: 0x1000n, fd: memfd, fdOffset: 0n }] };
  });

  afterEach(() => {
    vi.useRealTimers();
    front.close();
    back.close();
    closeFd(memfd);
    poller.close();
  });

  const slowly = (message: Incoming): unknown => {
    void delay(SLOW_MS).then(() => back.answer(message));
    return 'handled';
  };

  it('is waited for', async () => {
    back.script['VHOST_USER_SET_MEM_TABLE'] = slowly;
    await front.negotiate();
    await front.setMemTable(memory);
    expect(front.live).toBe(true);
  });

  it('is not waited for longer than the caller says', async () => {
    back.script['VHOST_USER_SET_MEM_TABLE'] = () => 'handled';
    await front.negotiate();
    await expect(front.setMemTable(memory, { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'TIMEOUT',
    });
  });

  it('is waited for when it is asked for something else, where it acknowledges nothing', async () => {
    back.protocolFeatures = MQ;
    await front.negotiate();
    await front.setMemTable(memory);
    back.script['VHOST_USER_GET_VRING_BASE'] = slowly;
    expect(await front.stopVring(0)).toBe(17);
    // It has answered since: the next one is late by itself.
    back.script['VHOST_USER_GET_VRING_BASE'] = () => 'handled';
    await expect(front.stopVring(0)).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  it('is spoken of', async () => {
    back.script['VHOST_USER_SET_MEM_TABLE'] = () => 'handled';
    await front.negotiate();
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const done = front.setMemTable(memory);
    vi.advanceTimersByTime(11_000);
    expect(
      logger.lines.map(({ message }) => message).filter((text) => /mapping/.test(text)),
    ).toEqual([
      'the back-end has been mapping 0.00390625 MiB of guest memory for 5 s',
      'the back-end has been mapping 0.00390625 MiB of guest memory for 10 s',
    ]);
    front.close();
    await expect(done).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
