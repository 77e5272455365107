// Titles name sections of the vhost-user specification (QEMU docs/interop/vhost-user.rst).
import { describe, expect, it } from 'vitest';
import { EVENT_IDX, negotiate, until } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

describe('Starting and stopping rings', () => {
  const bench = useBench();

  it('a kick given before SET_VRING_KICK is not lost', async () => {
    const frontEnd = bench().connect();
    const ring = bench().ring();
    await negotiate(frontEnd, bench().guest);
    ring.submit([1, 2]);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('requests are served whose kick somebody else drained before', async () => {
    const frontEnd = bench().connect();
    const ring = bench().ring();
    await negotiate(frontEnd, bench().guest);
    ring.submit([1, 2]);
    ring.kick.drain();
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('a kick given before SET_VRING_ENABLE is not lost', async () => {
    const frontEnd = bench().connect();
    const ring = bench().ring();
    await negotiate(frontEnd, bench().guest);
    ring.setUp(frontEnd);
    // The round trip says that everything before it has been handled.
    await frontEnd.ask('VHOST_USER_GET_STATUS', undefined);
    ring.submit([1, 2, 3]);
    expect(await ring.enable(frontEnd)).toBe(0);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([3]);
  });

  it('a ring is served whatever the order of its messages', async () => {
    const frontEnd = bench().connect();
    const ring = bench().ring();
    await negotiate(frontEnd, bench().guest);
    ring.submit([7]);
    const { index } = ring;
    frontEnd.send('VHOST_USER_SET_VRING_KICK', { index, hasFd: true }, [ring.kick.fd]);
    expect(await ring.enable(frontEnd)).toBe(0);
    frontEnd.send('VHOST_USER_SET_VRING_NUM', { index, num: ring.layout.size });
    frontEnd.send('VHOST_USER_SET_VRING_ADDR', ring.addr);
    frontEnd.send('VHOST_USER_SET_VRING_CALL', { index, hasFd: true }, [ring.call.fd]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  });

  it('a disabled ring takes nothing, and goes on when enabled', async () => {
    const { frontEnd, ring } = await bench().running();
    expect(await ring.enable(frontEnd, false)).toBe(0);
    ring.submit([1], [2]);
    await bench().daemon.status();
    expect(ring.driver.poll()).toBeUndefined();
    expect(await ring.enable(frontEnd)).toBe(0);
    expect(await ring.collect(frontEnd.poller, 2)).toEqual([1, 1]);
  });

  it('GET_VRING_BASE stops the ring and says where to go on', async () => {
    const { frontEnd, ring } = await bench().running();
    ring.submit([1], [2], [3]);
    await ring.collect(frontEnd.poller, 3);
    const base = await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 });
    expect(base).toEqual({ index: 0, num: 3 });
    ring.submit([4]);
    ring.kick.signal();
    await bench().daemon.status();
    expect(ring.driver.poll()).toBeUndefined();
    ring.setUp(frontEnd, base.num);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
    expect(await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 })).toEqual({
      index: 0,
      num: 4,
    });
  });

  it('a ring restarts a hundred times without losing a request', async () => {
    const { frontEnd, ring } = await bench().running();
    for (let i = 0; i < 100; i++) {
      ring.submit([i], [i]);
      const { num } = await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 });
      ring.setUp(frontEnd, num);
      expect(await ring.collect(frontEnd.poller, 2)).toEqual([1, 1]);
    }
  });

  it('indices wrap at 65536', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const ring = bench().ring(0, EVENT_IDX, 64, 65_530);
    ring.setUp(frontEnd, 65_530);
    expect(await ring.enable(frontEnd)).toBe(0);
    for (let i = 0; i < 20; i++) {
      ring.submit([i]);
      expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
    }
    const base = await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 });
    expect(base.num).toBe(14);
  });

  it('without VHOST_USER_F_PROTOCOL_FEATURES rings start enabled', async () => {
    const frontEnd = bench().connect();
    const { guest } = bench();
    const offered = await frontEnd.ask('VHOST_USER_GET_FEATURES', undefined);
    frontEnd.send('VHOST_USER_SET_FEATURES', offered & ~(1n << 30n));
    frontEnd.send('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds);
    const ring = bench().ring();
    ring.setUp(frontEnd);
    ring.submit([1, 2]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('without the event index notification flags are obeyed', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest, { features: (1n << 32n) | (1n << 30n) });
    const ring = bench().ring(0, 0n);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    for (let i = 0; i < 50; i++) {
      ring.submit([i]);
      expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
    }
    // The signal for the last of them may come after it was seen in the ring.
    await bench().daemon.status();
    ring.call.drain();
    ring.driver.disableInterrupts();
    ring.submit([1]);
    let taken: unknown;
    while (taken === undefined) taken = ring.driver.poll();
    await bench().daemon.status();
    expect(ring.call.drain()).toBe(false);
  });

  it('SET_VRING_CALL on a running ring: the new descriptor is signalled once', async () => {
    const { frontEnd, ring } = await bench().running();
    // A ring that starts is looked at, and signals once: that comes first.
    await until(async () => ((await bench().daemon.status())[0]?.rings[0]?.wakeups ?? 0) > 0);
    const old = ring.call.clone();
    ring.call.drain();
    expect(
      await frontEnd.tell('VHOST_USER_SET_VRING_CALL', { index: 0, hasFd: true }, [old.fd]),
    ).toBe(0);
    expect(old.drain()).toBe(true);
    expect(old.drain()).toBe(false);
    expect(await frontEnd.tell('VHOST_USER_SET_VRING_CALL', { index: 0, hasFd: false })).toBe(0);
    ring.submit([1]);
    let taken: unknown;
    while (taken === undefined) taken = ring.driver.poll();
    await bench().daemon.status();
    expect(old.drain()).toBe(false);
    old.close();
  });

  it('SET_VRING_KICK on a running ring: the new descriptor counts, the old one no more', async () => {
    const { frontEnd, ring } = await bench().running();
    const old = ring.kick.clone();
    const { EventFd } = await import('@node-vmm/vmm-sys-util');
    const next = EventFd.create();
    const set = await frontEnd.tell('VHOST_USER_SET_VRING_KICK', { index: 0, hasFd: true }, [
      next.fd,
    ]);
    expect(set).toBe(0);
    ring.add(Uint8Array.of(1));
    ring.driver.publish();
    next.signal();
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
    next.close();
    old.close();
  });

  it('SET_VRING_KICK without a descriptor is refused: nothing here polls', async () => {
    const { frontEnd } = await bench().running();
    expect(await frontEnd.tell('VHOST_USER_SET_VRING_KICK', { index: 1, hasFd: false })).toBe(1);
    expect(bench().logger.find('request refused')?.context['err']).toMatchObject({
      code: 'UNSUPPORTED',
    });
  });
});

describe('Ring errors', () => {
  const bench = useBench();

  it('a malformed chain is returned unused and the ring goes on', async () => {
    const { frontEnd, ring } = await bench().running();
    ring.driver.raw.setDescriptor(0, { addr: 0n, len: 16, flags: 0 });
    ring.driver.raw.offer(0);
    ring.kick.signal();
    while (ring.driver.raw.usedIndex !== 1);
    const [status] = await bench().daemon.status();
    expect(status?.rings[0]).toMatchObject({ malformedChains: 1, broken: 0 });
    expect(frontEnd.connection.live).toBe(true);
  });

  it('a broken ring signals its err descriptor, is logged once and disturbs nobody', async () => {
    const { frontEnd, ring } = await bench().running();
    const other = bench().ring(1);
    other.setUp(frontEnd);
    expect(await other.enable(frontEnd)).toBe(0);
    ring.driver.raw.availIndex = 1000;
    ring.kick.signal();
    while (!ring.err.drain());
    ring.kick.signal();
    ring.kick.signal();
    other.submit([1, 2]);
    expect(await other.collect(frontEnd.poller, 1)).toEqual([2]);
    const [status] = await bench().daemon.status();
    expect(status?.rings.map(({ broken }) => broken)).toEqual([1, 0]);
    const lines = bench().logger.lines.filter(({ message }) =>
      message.includes('cannot be served'),
    );
    expect(lines).toHaveLength(1);
    // Set up anew it works again.
    await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 });
    const fresh = bench().ring(0);
    fresh.setUp(frontEnd);
    fresh.submit([5]);
    expect(await fresh.collect(frontEnd.poller, 1)).toEqual([1]);
  });
});

describe('What the guest owns is looked at when a ring is first served', () => {
  const bench = useBench();

  it.each([
    [1, 1],
    [3, 3],
    [3, 0],
    [65_530, 65_530],
    [65_530, 0],
  ])(
    'used.idx %i and avail.idx %i of firmware, zeroed before the first kick',
    async (used, avail) => {
      const frontEnd = bench().connect();
      await negotiate(frontEnd, bench().guest);
      const ring = bench().ring();
      const { raw } = ring.driver;
      raw.usedIndex = used;
      raw.availIndex = avail;
      ring.setUp(frontEnd);
      expect(await ring.enable(frontEnd)).toBe(0);
      await bench().daemon.status();
      raw.usedIndex = 0;
      raw.availIndex = 0;
      for (const data of [[1], [2, 3]]) {
        ring.submit(data);
        expect(await ring.collect(frontEnd.poller, 1)).toEqual([data.length]);
      }
      expect(ring.err.drain()).toBe(false);
    },
  );

  it('a ring that was not kicked is not written to', async () => {
    const frontEnd = bench().connect();
    await negotiate(frontEnd, bench().guest);
    const ring = bench().ring();
    const { raw } = ring.driver;
    raw.usedIndex = 7;
    raw.usedFlags = 0x5a5a;
    raw.availEvent = 0xa5a5;
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    const { num } = await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 });
    expect(num).toBe(0);
    expect([raw.usedIndex, raw.usedFlags, raw.availEvent]).toEqual([7, 0x5a5a, 0xa5a5]);
  });

  it('a ring that stopped is not written to by what the device returns later', async () => {
    const { frontEnd, ring } = await bench().running();
    ring.submit([0xfe]);
    ring.submit([1]);
    await ring.collect(frontEnd.poller, 1);
    await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 });
    const used = (): Uint8Array => {
      const bytes = new Uint8Array(512);
      bench().guest.memory.read(ring.layout.usedRing, bytes);
      return bytes;
    };
    const before = used();
    const other = bench().ring(1);
    other.setUp(frontEnd);
    expect(await other.enable(frontEnd)).toBe(0);
    other.submit([0xfd]);
    await other.collect(frontEnd.poller, 1);
    expect(used()).toEqual(before);
  });

  it("indices that do not fit are the ring's error, not the connection's", async () => {
    const { frontEnd } = await bench().running();
    const other = bench().ring(1);
    other.setUp(frontEnd, 65);
    expect(await other.enable(frontEnd)).toBe(0);
    expect(other.err.drain()).toBe(false);
    other.kick.signal();
    while (!other.err.drain()) await bench().daemon.status();
    const [status] = await bench().daemon.status();
    expect(status?.rings.map(({ broken }) => broken)).toEqual([0, 1]);
    const told = bench().logger.find('cannot be served');
    expect(told?.context['err']).toMatchObject({ message: expect.stringContaining('65') });
    // The driver puts its ring right, kicks, and is served.
    other.driver.raw.usedIndex = 65;
    const mended = bench().ring(1, EVENT_IDX, 64, 65);
    mended.setUp(frontEnd, 65);
    mended.submit([1, 2, 3]);
    expect(await mended.collect(frontEnd.poller, 1)).toEqual([3]);
  });

  it.each([
    ['a size that is none', 12, {}],
    ['a size of 0', 0, {}],
    ['a size beyond all', 65_536, {}],
    ['addresses in no region', 64, { descTable: 0x10n }],
    ['an odd address', 64, { usedRing: 0x7f00_0000_2002n }],
  ])("%s is the ring's error, not the connection's", async (_, num, place) => {
    const { frontEnd, ring } = await bench().running();
    const other = bench().ring(1);
    const index = 1;
    // As a front-end sends it that passes on what its guest chose.
    const state = new Uint8Array(Uint32Array.of(8, 0x1, 8, index, num).buffer);
    frontEnd.stream.send(state);
    const addr = { ...other.addr, ...place };
    frontEnd.stream.send(
      Buffer.concat([
        Buffer.from(Uint32Array.of(9, 0x1, 40, index, 0).buffer),
        Buffer.from(BigUint64Array.of(addr.descTable, addr.usedRing, addr.availRing, 0n).buffer),
      ]),
    );
    frontEnd.send('VHOST_USER_SET_VRING_ERR', { index, hasFd: true }, [other.err.fd]);
    frontEnd.send('VHOST_USER_SET_VRING_KICK', { index, hasFd: true }, [other.kick.fd]);
    expect(await other.enable(frontEnd)).toBe(0);
    other.kick.signal();
    while (!other.err.drain()) await bench().daemon.status();
    other.kick.signal();
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
    expect((await bench().daemon.status())[0]?.rings.map(({ broken }) => broken)).toEqual([0, 1]);
    // Put right it works.
    const base = await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index, num: 0 });
    expect(base).toEqual({ index, num: 0 });
    other.kick.drain();
    other.setUp(frontEnd);
    other.submit([1, 2]);
    expect(await other.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it.each([2, 2048, 4096, 32_768])(
    'a ring of %i is served, whatever the device recommends',
    async (size) => {
      const frontEnd = bench().connect();
      await negotiate(frontEnd, bench().guest);
      const ring = bench().ring(0, EVENT_IDX, size);
      ring.setUp(frontEnd);
      expect(await ring.enable(frontEnd)).toBe(0);
      for (let i = 0; i < 3; i++) {
        ring.submit([1, 2, 3, 4]);
        expect(await ring.collect(frontEnd.poller, 1)).toEqual([4]);
      }
    },
  );
});
