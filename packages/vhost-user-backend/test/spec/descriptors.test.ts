// What a front-end can make a back-end hold, however often it sends descriptors.
import {
  closeFd,
  closeFds,
  EventFd,
  type Fd,
  memfdCreate,
  UnixStream,
} from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';
import { type FrontEnd, type Guest, negotiate, openFds } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

const RINGS = 2;
const ROUNDS = 20;
/** A connection, its channel to the front-end, and three for each ring. */
const MOST = 2 + 3 * RINGS;

const bench = useBench();

/** All that has descriptors, once; those that are sent are closed again. */
async function sendAll(frontEnd: FrontEnd, guest: Guest, round: number): Promise<void> {
  const mine: Fd[] = [];
  const own = (fd: Fd): Fd => {
    mine.push(fd);
    return fd;
  };
  const memory = own(memfdCreate('one-more', 0x1000));
  const guestAddr = BigInt(round + 1) << 40n;
  const region = { guestAddr, userAddr: guestAddr, size: 0x1000n, mmapOffset: 0n };
  const table = [...guest.regions, region];
  expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', table, [...guest.fds, memory])).toBe(0);
  const added = { ...region, guestAddr: guestAddr << 1n, userAddr: guestAddr << 1n };
  expect(await frontEnd.tell('VHOST_USER_ADD_MEM_REG', added, [memory])).toBe(0);
  for (let index = 0; index < RINGS; index++) {
    for (const kind of ['KICK', 'CALL', 'ERR'] as const) {
      const event = EventFd.create();
      const payload = { index, hasFd: true };
      expect(await frontEnd.tell(`VHOST_USER_SET_VRING_${kind}`, payload, [event.fd])).toBe(0);
      event.close();
    }
  }
  const wish = { mmapSize: 0n, mmapOffset: 0n, numQueues: RINGS, queueSize: 64 };
  const { payload, fds } = await frontEnd.askForFds('VHOST_USER_GET_INFLIGHT_FD', wish);
  // Between a stop and a start: an area is for rings that do not run.
  await frontEnd.tell('VHOST_USER_SET_INFLIGHT_FD', payload, fds);
  closeFds(fds);
  const [ours, theirs] = UnixStream.pair();
  expect(await frontEnd.tell('VHOST_USER_SET_BACKEND_REQ_FD', undefined, [theirs.fd])).toBe(0);
  ours.close();
  theirs.close();
  for (const fd of mine) closeFd(fd);
}

it('is a connection, a channel, and three descriptors for each ring', async () => {
  const before = openFds();
  const frontEnd = bench().connect();
  // This process has the front-end's side, too: its socket, and what it polls with.
  await negotiate(frontEnd, bench().guest);
  await frontEnd.ask('VHOST_USER_GET_QUEUE_NUM', undefined);
  const connected = openFds();
  for (let round = 0; round < ROUNDS; round++) await sendAll(frontEnd, bench().guest, round);
  const held = openFds();
  expect(held - connected).toBeLessThanOrEqual(MOST);
  expect(held - before).toBeGreaterThan(3 * RINGS);
  for (let round = 0; round < ROUNDS; round++)
    await sendAll(frontEnd, bench().guest, ROUNDS + round);
  await expect.poll(openFds).toBe(held);
});
