// Titles name sections of the vhost-user specification (QEMU docs/interop/vhost-user.rst).

import { BACKEND_REQUESTS, VhostUserConnection } from '@node-vmm/vhost-user';
import { mapForeign } from '@node-vmm/vm-memory/xen';
import { closeFd, EventFd, type Fd, memfdCreate, openFd, UnixStream } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { negotiate, openFds, until } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

// MQ, REPLY_ACK, BACKEND_REQ, INFLIGHT_SHMFD, RESET_DEVICE, CONFIGURE_MEM_SLOTS, STATUS.
const ALL =
  (1n << 0n) | (1n << 3n) | (1n << 5n) | (1n << 12n) | (1n << 13n) | (1n << 15n) | (1n << 16n);
const XEN_MMAP = 1n << 17n;

describe('Memory slots', () => {
  const bench = useBench({}, { memSlots: false });

  it('are not offered by a daemon that is told so', async () => {
    const frontEnd = bench().connect();
    const offered = await frontEnd.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
    expect(offered).toBe(ALL & ~(1n << 15n));
  });
});

describe('Multiple queue support', () => {
  const bench = useBench({ queues: [8, 16, 32] });

  it('GET_QUEUE_NUM says how many queues the device has', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    expect(await frontEnd.ask('VHOST_USER_GET_QUEUE_NUM', undefined)).toBe(3n);
  });

  it('SET_VRING_NUM takes every legal size, whatever the device recommends', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const set = (index: number, num: number) =>
      frontEnd.tell('VHOST_USER_SET_VRING_NUM', { index, num });
    expect(await set(0, 8)).toBe(0);
    expect(await set(0, 16)).toBe(0);
    expect(await set(1, 32768)).toBe(0);
    expect(await set(1, 12)).toBe(1);
    expect(await set(2, 1)).toBe(0);
  });
});

describe('Protocol features', () => {
  const bench = useBench();

  it('are offered without CONFIG for a device without configuration space', async () => {
    const frontEnd = bench().connect();
    expect(await frontEnd.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined)).toBe(ALL);
  });

  it('features are those of the device and of the framework', async () => {
    const frontEnd = bench().connect();
    const framework = (1n << 28n) | (1n << 29n) | (1n << 30n) | (1n << 32n);
    expect(await frontEnd.ask('VHOST_USER_GET_FEATURES', undefined)).toBe(framework | 0x5n);
  });

  it('features that were not offered are refused: rings would be misunderstood', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    expect(await frontEnd.tell('VHOST_USER_SET_FEATURES', 1n << 40n)).toBe(1);
  });

  it.each([
    ['7.2', 17n],
    ['8.2', 20n],
    ['11.1', 24n],
  ])('QEMU %s accepts every bit that it has a number for, and is served', async (_, max) => {
    const frontEnd = bench().connect();
    const { guest } = bench();
    await negotiate(frontEnd, guest, { protocolFeatures: (1n << max) - 1n });
    await frontEnd.tell('VHOST_USER_SET_PROTOCOL_FEATURES', (1n << max) - 1n);
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds)).toBe(0);
    const ring = bench().ring();
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    ring.submit([1, 2]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
    const told = bench().logger.lines.filter(({ message }) => message.includes('not offered'));
    expect(told).toHaveLength(1);
  });

  it('XEN_MMAP is not offered by a daemon that cannot map foreign memory', async () => {
    const offered = await bench().connect().ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
    expect(offered & XEN_MMAP).toBe(0n);
  });

  it('regions with Xen fields are refused where XEN_MMAP was not negotiated', async () => {
    const { frontEnd, ring } = await bench().running();
    const [region] = bench().guest.regions;
    const xen = { ...(region as NonNullable<typeof region>), xen: { mmapFlags: 1, domid: 1 } };
    frontEnd.connection.codec.options.xenMmap = true;
    const { fds } = bench().guest;
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', [xen], fds)).toBe(1);
    expect(await frontEnd.tell('VHOST_USER_ADD_MEM_REG', xen, fds)).toBe(1);
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  });
});

describe('VHOST_USER_PROTOCOL_F_XEN_MMAP', () => {
  const bench = useBench({}, { mapForeign });

  it('is offered where foreign memory can be mapped', async () => {
    const offered = await bench().connect().ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
    expect(offered).toBe(ALL | XEN_MMAP);
  });

  it('a front-end that accepts the bit and sends plain regions is served', async () => {
    const { frontEnd, ring } = await bench().running();
    const fd = memfdCreate('more', 4096);
    const more = { guestAddr: 0x1000n, size: 4096n, userAddr: 0x1000n, mmapOffset: 0n };
    expect(await frontEnd.tell('VHOST_USER_ADD_MEM_REG', more, [fd])).toBe(0);
    expect((await bench().daemon.status())[0]?.memoryRegions).toBe(2);
    expect(await frontEnd.tell('VHOST_USER_REM_MEM_REG', more)).toBe(0);
    closeFd(fd);
    ring.submit([1, 2, 3]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([3]);
  });
});

describe('VHOST_USER_PROTOCOL_F_REPLY_ACK', () => {
  const bench = useBench();

  it('a request that is not offered gets a non-zero answer', async () => {
    const { frontEnd, ring } = await bench().running();
    expect(await frontEnd.tell('VHOST_USER_SEND_RARP', 0n)).toBe(1);
    expect(await frontEnd.tell('VHOST_USER_SET_VRING_ENDIAN', { index: 0, num: 0 })).toBe(1);
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  });

  it('a request that nobody knows gets a non-zero answer, and what came with it is gone', async () => {
    const { frontEnd, ring } = await bench().running();
    const unknown = Uint8Array.of(200, 0, 0, 0, 0x9, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3, 4, 5);
    const before = openFds();
    for (let i = 0; i < 3; i++) {
      const answer = frontEnd.unknownReply();
      frontEnd.stream.send(unknown, [ring.kick.fd]);
      expect(await answer).toEqual({ request: 200, result: 1n });
    }
    expect(openFds()).toBe(before);
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  });

  it('one that nobody knows ends the connection when nobody waits for an answer', async () => {
    const { frontEnd } = await bench().running();
    frontEnd.stream.send(Uint8Array.of(200, 0, 0, 0, 0x1, 0, 0, 0, 0, 0, 0, 0));
    expect(await frontEnd.closed).toBe('peer-closed');
  });

  it('without NEED_REPLY it ends the connection, and the next one is served', async () => {
    const { frontEnd } = await bench().running();
    frontEnd.send('VHOST_USER_SEND_RARP', 0n);
    expect(await frontEnd.closed).toBe('peer-closed');
    expect(bench().logger.find('connection dropped')?.message).toContain('VHOST_USER_SEND_RARP');
    const next = await bench().running();
    next.ring.submit([1]);
    expect(await next.ring.collect(next.frontEnd.poller, 1)).toEqual([1]);
  });

  it('without REPLY_ACK nobody is answered who did not negotiate it', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest, { protocolFeatures: 0n });
    frontEnd.connection.sendRequest('VHOST_USER_SET_OWNER', undefined, [], true);
    // The first answer that comes is that of the second request.
    expect(await frontEnd.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined)).toBe(ALL);
    frontEnd.connection.sendRequest('VHOST_USER_SEND_RARP', 0n, [], true);
    expect(await frontEnd.closed).toBe('peer-closed');
  });

  it('who asks and has not said what it negotiates has done so with another process', async () => {
    const frontEnd = bench().connect();
    expect(await frontEnd.tell('VHOST_USER_SET_FEATURES', 1n << 32n)).toBe(0);
    expect(await frontEnd.tell('VHOST_USER_SEND_RARP', 0n)).toBe(1);
  });
});

describe('Vring messages', () => {
  const bench = useBench();

  it('name a ring that the device has', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const ring = bench().ring();
    const event = [ring.kick.fd];
    const withFd = { index: 2, hasFd: true };
    expect([
      await frontEnd.tell('VHOST_USER_SET_VRING_NUM', { index: 2, num: 8 }),
      await frontEnd.tell('VHOST_USER_SET_VRING_NUM', { index: 0xffff_ffff, num: 8 }),
      await frontEnd.tell('VHOST_USER_SET_VRING_BASE', { index: 2, num: 0 }),
      await frontEnd.tell('VHOST_USER_SET_VRING_ADDR', { ...ring.addr, index: 2 }),
      await frontEnd.tell('VHOST_USER_SET_VRING_ENABLE', { index: 2, num: 1 }),
      await frontEnd.tell('VHOST_USER_SET_VRING_KICK', withFd, event),
      await frontEnd.tell('VHOST_USER_SET_VRING_CALL', withFd, event),
      await frontEnd.tell('VHOST_USER_SET_VRING_ERR', withFd, event),
      await frontEnd.tell('VHOST_USER_SET_VRING_KICK', { index: 255, hasFd: false }),
    ]).toEqual(Array(9).fill(1));
    await expect(
      frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 2, num: 0 }),
    ).rejects.toMatchObject({ code: 'PEER_CLOSED' });
  });

  it('refuse descriptors that are no eventfds', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const [a, b] = UnixStream.pair();
    const others: Fd[] = [memfdCreate('x', 4096), openFd('/dev/zero'), openFd('/', 'r')];
    for (const fd of [...others, a.fd]) {
      for (const name of [
        'VHOST_USER_SET_VRING_KICK',
        'VHOST_USER_SET_VRING_CALL',
        'VHOST_USER_SET_VRING_ERR',
      ] as const) {
        expect(await frontEnd.tell(name, { index: 0, hasFd: true }, [fd])).toBe(1);
      }
    }
    for (const fd of others) closeFd(fd);
    a.close();
    b.close();
  });

  it('a blocking eventfd with a full counter blocks nobody', async () => {
    const { frontEnd, ring } = await bench().running();
    const { writeSync } = await import('node:fs');
    const full = EventFd.create();
    writeSync(full.fd, Buffer.from(BigUint64Array.of(0xffff_ffff_ffff_fffen).buffer));
    expect(
      await frontEnd.tell('VHOST_USER_SET_VRING_CALL', { index: 0, hasFd: true }, [full.fd]),
    ).toBe(0);
    ring.submit([1]);
    let taken: unknown;
    while (taken === undefined) taken = ring.driver.poll();
    expect(await frontEnd.ask('VHOST_USER_GET_STATUS', undefined)).toBe(0n);
    full.close();
  });

  it('addresses outside guest memory are refused', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const ring = bench().ring();
    const set = (change: object) =>
      frontEnd.tell('VHOST_USER_SET_VRING_ADDR', { ...ring.addr, ...change });
    expect(await frontEnd.tell('VHOST_USER_SET_VRING_NUM', { index: 0, num: 64 })).toBe(0);
    expect(await set({ descTable: 0n })).toBe(1);
    expect(await set({ availRing: 0xffff_ffff_ffff_fff0n })).toBe(1);
    // The last ring entry would be outside.
    expect(await set({ usedRing: ring.addr.descTable + 0x20_0000n - 4n })).toBe(1);
    expect(await set({})).toBe(0);
  });
});

describe('Reset', () => {
  const bench = useBench();

  it('RESET_DEVICE stops all rings and resets the device, which then starts anew', async () => {
    const { frontEnd, ring } = await bench().running();
    ring.submit([1]);
    await ring.collect(frontEnd.poller, 1);
    expect(await frontEnd.tell('VHOST_USER_RESET_DEVICE', undefined)).toBe(0);
    await until(() => bench().logger.find('echo reset') !== undefined);
    const fresh = bench().ring();
    fresh.setUp(frontEnd);
    fresh.submit([1, 2]);
    await frontEnd.ask('VHOST_USER_GET_STATUS', undefined);
    expect(fresh.driver.poll()).toBeUndefined();
    expect(await fresh.enable(frontEnd)).toBe(0);
    expect(await fresh.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('SET_STATUS 0 is a reset, other values are remembered', async () => {
    const { frontEnd } = await bench().running();
    expect(await frontEnd.tell('VHOST_USER_SET_STATUS', 0x0fn)).toBe(0);
    expect(await frontEnd.ask('VHOST_USER_GET_STATUS', undefined)).toBe(0x0fn);
    expect(await frontEnd.tell('VHOST_USER_SET_STATUS', 0x100n)).toBe(1);
    expect(await frontEnd.tell('VHOST_USER_SET_STATUS', 0n)).toBe(0);
    expect(await frontEnd.ask('VHOST_USER_GET_STATUS', undefined)).toBe(0n);
    await until(() => bench().logger.find('echo reset') !== undefined);
  });

  it('RESET_OWNER disables all rings', async () => {
    const { frontEnd, ring } = await bench().running();
    expect(await frontEnd.tell('VHOST_USER_RESET_OWNER', undefined)).toBe(0);
    ring.submit([1]);
    await bench().daemon.status();
    expect(ring.driver.poll()).toBeUndefined();
    expect(await ring.enable(frontEnd)).toBe(0);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  });

  it('the end of a connection resets the device', async () => {
    const { frontEnd } = await bench().running();
    frontEnd.close();
    await until(() => bench().logger.find('echo reset') !== undefined);
    expect(bench().logger.find('echo reset')?.context['calls']).toEqual([
      `negotiated ${(1n << 28n) | (1n << 29n) | (1n << 32n) | 0x5n}`,
      'stopped 0',
      'reset',
    ]);
  });
});

describe('Configuration space', () => {
  const bench = useBench({ config: [1, 2, 3, 4, 5, 6, 7, 8] });

  it.each([0, 1, 2])('is read and written whatever the flags: %i', async (flags) => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const data = Uint8Array.of(9, 10);
    expect(await frontEnd.tell('VHOST_USER_SET_CONFIG', { offset: 2, flags, data })).toBe(0);
    const window = { offset: 0, flags, data: new Uint8Array(8) };
    expect(await frontEnd.ask('VHOST_USER_GET_CONFIG', window)).toEqual({
      offset: 0,
      flags,
      data: Uint8Array.of(1, 2, 9, 10, 5, 6, 7, 8),
    });
  });

  it('a window beyond its end is refused: reads by an empty reply', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    for (const [offset, length] of [
      [0, 9],
      [8, 1],
      [4000, 96],
    ] as const) {
      const window = { offset, flags: 0, data: new Uint8Array(length) };
      expect(await frontEnd.tell('VHOST_USER_SET_CONFIG', window)).toBe(1);
      const reply = await frontEnd.ask('VHOST_USER_GET_CONFIG', window);
      expect(reply.data).toHaveLength(0);
    }
  });

  it('a change is told on the back-end channel', async () => {
    const { frontEnd, ring } = await bench().running();
    const [ours, theirs] = UnixStream.pair();
    let changes = 0;
    const channel = new VhostUserConnection({
      stream: ours,
      poller: frontEnd.poller,
      table: BACKEND_REQUESTS,
      onRequest: ({ name }) => {
        expect(name).toBe('VHOST_USER_BACKEND_CONFIG_CHANGE_MSG');
        changes++;
      },
      onClose: () => undefined,
    });
    const fds = [theirs.fd];
    expect(await frontEnd.tell('VHOST_USER_SET_BACKEND_REQ_FD', undefined, fds)).toBe(0);
    ring.submit([0xf9]);
    await until(() => changes === 1);
    channel.close();
    theirs.close();
    // Nobody listens any more: no reason to stop serving.
    ring.submit([0xf9], [1]);
    expect(await ring.collect(frontEnd.poller, 3)).toEqual([0, 0, 1]);
  });

  it('a back-end channel that is no socket is refused', async () => {
    const { frontEnd, ring } = await bench().running();
    const fds = [ring.kick.fd];
    expect(await frontEnd.tell('VHOST_USER_SET_BACKEND_REQ_FD', undefined, fds)).toBe(1);
  });
});
