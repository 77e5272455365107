import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceSpec, ServedDevice, VhostUserDaemonOptions } from '../../src/index.ts';
import {
  FakeDomain,
  type FrontEnd,
  GUEST_BASE,
  GuestRing,
  mapperOf,
  negotiate,
  until,
  type XenRegion,
} from '../../src/testing/index.ts';
import { Bench } from '../bench.ts';

/** REPLY_ACK and XEN_MMAP. */
const PROTOCOL = (1n << 3n) | (1n << 17n);
const KEEPS = new URL('../fixtures/keeping-device.mjs', import.meta.url);
const FAILS = new URL('../fixtures/fails-device.mjs', import.meta.url);
const MIB = 2 ** 20;
const CHUNK = 2 * MIB;

interface Connected {
  readonly device: ServedDevice;
  readonly frontEnd: FrontEnd;
  readonly ring: GuestRing;
  tell(regions?: readonly XenRegion[]): Promise<number>;
}

describe('Memory of a Xen domain', () => {
  const closeables: { close(): void | Promise<void> }[] = [];
  let domain: FakeDomain;
  let bench: Bench;

  const start = (size?: number, options: VhostUserDaemonOptions = {}): void => {
    domain = new FakeDomain(7, size);
    bench = new Bench({ mapForeign: mapperOf(domain), workers: 2, ...options });
  };
  afterEach(async () => {
    await bench.close();
    for (const closeable of closeables.splice(0)) await closeable.close();
    domain.close();
  });

  /** A device with a ring at a place of its own in a domain's memory. */
  async function connect(
    place = 0,
    from = domain,
    size?: number,
    spec: Partial<DeviceSpec> = {},
  ): Promise<Connected> {
    const device = await bench.addDevice({}, { name: `echo${place}-${from.domid}`, ...spec });
    const frontEnd = bench.connect(device);
    frontEnd.connection.codec.options.xenMmap = true;
    const regions = from.regions(size);
    await negotiate(frontEnd, { regions, fds: from.fds }, { protocolFeatures: PROTOCOL });
    const base = GUEST_BASE + BigInt(place * 0x4000);
    const features = spec.module === undefined ? undefined : 0n;
    const ring = new GuestRing(from.guest, 0, features, 64, 0, base);
    closeables.push(ring);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    const tell = (changed = regions) =>
      frontEnd.tell('VHOST_USER_SET_MEM_TABLE', changed, [...from.fds]);
    return { device, frontEnd, ring, tell };
  }

  const errors = () => bench.logger.lines.filter(({ level }) => level === 'error');

  /** Adds a request with its data at an offset of guest memory, and room for the answer behind it. */
  function add({ ring }: Connected, offset: number, data: readonly number[], from = domain): void {
    const out = GUEST_BASE + BigInt(offset);
    from.guest.memory.write(out as never, Uint8Array.from(data));
    ring.driver.add([
      { guestAddr: out as never, length: data.length, writable: false },
      { guestAddr: (out + 1024n) as never, length: data.length, writable: true },
    ]);
  }

  async function echoes(
    connected: Connected,
    offset: number,
    data: readonly number[] = [1, 2, 3],
    from = domain,
  ): Promise<number[]> {
    add(connected, offset, data, from);
    if (connected.ring.driver.publish()) connected.ring.kick.signal();
    const written = await connected.ring.collect(connected.frontEnd.poller, 1);
    const answer = new Uint8Array(data.length);
    from.guest.memory.read((GUEST_BASE + BigInt(offset) + 1024n) as never, answer);
    if (written[0] !== 0) expect([...answer]).toEqual(data);
    return written;
  }

  describe('is mapped when it is needed', () => {
    beforeEach(() => start(64 * MIB));

    it('and nothing but a page of the domain before', async () => {
      const { frontEnd } = await connect(0, domain, 2 ** 40);
      expect(await frontEnd.ask('VHOST_USER_GET_QUEUE_NUM', undefined)).toBe(2n);
      expect(domain.asked[0]).toEqual([0, 1]);
      // The ring was looked at, which is all that a device does without a kick.
      const seen = domain.asked.length;
      await until(() => domain.asked.length >= 2);
      expect(domain.asked.slice(0, seen).every(([offset]) => offset < CHUNK)).toBe(true);
      expect(domain.mapped).toBeLessThan(2 * CHUNK);
    });

    it('once for all devices of the domain', async () => {
      const devices = [];
      for (let i = 0; i < 11; i++) devices.push(await connect(i));
      const answers = await Promise.all(
        devices.map((device, i) => echoes(device, 8 * CHUNK + i * 4096)),
      );
      expect(answers).toEqual(devices.map(() => [3]));
      // Each looked there.
      expect(domain.asked.filter(([offset]) => offset === 8 * CHUNK)).toEqual([[8 * CHUNK, 512]]);
      for (const { frontEnd } of devices) frontEnd.close();
      await expect.poll(() => domain.live.size).toBe(0);
    }, 60_000);

    it('and given back: little stays mapped, however much a guest uses in turn', async () => {
      const device = await connect();
      for (let i = 0; i < 24; i++) expect(await echoes(device, i * CHUNK + 8192 * 16)).toEqual([3]);
      expect(domain.peak).toBeLessThanOrEqual(16 * MIB + CHUNK);
      expect(domain.chunks.length).toBeGreaterThan(6);
    });

    it('all of what one request needs, though it is more than that', async () => {
      const device = await connect();
      const { ring, frontEnd } = device;
      const parts = Array.from({ length: 28 }, (_, i) => ({
        guestAddr: (GUEST_BASE + BigInt((i + 2) * CHUNK)) as never,
        length: 16,
        writable: false,
      }));
      ring.driver.add([
        ...parts,
        { guestAddr: (GUEST_BASE + BigInt(CHUNK)) as never, length: 448, writable: true },
      ]);
      if (ring.driver.publish()) ring.kick.signal();
      expect(await ring.collect(frontEnd.poller, 1)).toEqual([448]);
      expect(domain.peak).toBeGreaterThan(28 * CHUNK);
      // Nobody needs all that any more.
      expect(await echoes(device, 31 * CHUNK)).toEqual([3]);
      await expect.poll(() => domain.mapped).toBeLessThanOrEqual(18 * MIB);
    });

    it('as far as it exists: a request in a hole fails for its guest, until there is memory', async () => {
      const device = await connect();
      const hole = 4 * CHUNK + 8192;
      domain.missing.add(hole);
      expect(await echoes(device, hole)).toEqual([0]);
      expect(await echoes(device, hole + 4096)).toEqual([3]);
      expect(await echoes(device, hole)).toEqual([0]);
      domain.missing.clear();
      await expect.poll(() => echoes(device, hole)).toEqual([3]);
      expect(errors()).toEqual([]);
    });
  });

  it('that comes slowly holds up its own ring alone', async () => {
    start(16 * MIB, { workers: 1 });
    const other = new FakeDomain(8);
    closeables.push(other);
    await bench.close();
    bench = new Bench({ mapForeign: mapperOf(domain, other), workers: 1 });
    const slow = await connect();
    const quick = await connect(0, other);
    const neighbour = await connect(1);
    expect(await echoes(slow, 2 * CHUNK)).toEqual([3]);
    expect(await echoes(quick, 65536, [5], other)).toEqual([1]);
    expect(await echoes(neighbour, 2 * CHUNK + 8192)).toEqual([3]);
    let open = (): void => undefined;
    domain.gate = new Promise((resolve) => {
      open = resolve;
    });
    add(slow, 3 * CHUNK, [1]);
    if (slow.ring.driver.publish()) slow.ring.kick.signal();
    await until(() => domain.asked.some(([offset]) => offset === 3 * CHUNK));
    // What the neighbour needs is there; the other domain's ring is in memory that is.
    for (let i = 0; i < 20; i++) {
      expect(await echoes(neighbour, 2 * CHUNK + 8192)).toEqual([3]);
      expect(await echoes(quick, 65536, [5], other)).toEqual([1]);
    }
    expect(slow.ring.driver.poll()).toBeUndefined();
    open();
    expect(await slow.ring.collect(slow.frontEnd.poller, 1)).toEqual([1]);
  });

  describe('that a front-end says has changed', () => {
    beforeEach(() => start(16 * MIB));

    it('is mapped anew for all devices of the domain, and the old is let go of', async () => {
      const [a, b] = [await connect(0), await connect(1)];
      expect([await echoes(a, 2 * CHUNK), await echoes(b, 2 * CHUNK + 4096)]).toEqual([[3], [3]]);
      const before = [...domain.live].filter(([, pages]) => pages > 1);
      expect(before.length).toBeGreaterThan(0);
      const asked = domain.asked.length;
      expect(await a.tell()).toBe(0);
      // Rings are where they were, and who proved that it may have the memory need not again.
      expect(before.filter((entry) => domain.live.has(entry))).toEqual([]);
      expect(domain.asked.slice(asked)).toEqual([]);
      expect([await echoes(a, 2 * CHUNK), await echoes(b, 2 * CHUNK + 4096)]).toEqual([[3], [3]]);
    });

    it('by each of its devices, over and over, maps nothing', async () => {
      const devices = [];
      for (let i = 1; i <= 4; i++) devices.push(await connect(i));
      for (const [i, device] of devices.entries()) {
        expect(await echoes(device, (2 + i) * CHUNK)).toEqual([3]);
      }
      const asked = domain.asked.length;
      for (let i = 0; i < 25; i++) await Promise.all(devices.map(({ tell }) => tell()));
      expect(domain.asked.length).toBe(asked);
      expect(domain.chunks).toEqual([]);
      // One page, however many have proved that they may have the memory.
      expect([...domain.live].filter(([offset]) => offset === 0)).toEqual([[0, 1]]);
    });

    it('has rings go to what is there once the guest is quiet, and to all of another table at once', async () => {
      const [a, b] = [await connect(0), await connect(1)];
      expect([await echoes(a, 2 * CHUNK), await echoes(b, 2 * CHUNK)]).toEqual([[3], [3]]);
      const inRings = () => [...domain.live].filter(([offset, pages]) => pages === 1 && offset > 0);
      const before = inRings();
      expect(before.length).toBeGreaterThan(0);
      const others = () => before.filter((entry) => !domain.live.has(entry)).length;
      expect(await a.tell()).toBe(0);
      expect(others()).toBe(0);
      await expect.poll(others, { timeout: 20_000 }).toBe(before.length);
      expect([await echoes(a, 2 * CHUNK), await echoes(b, 2 * CHUNK)]).toEqual([[3], [3]]);
      const then = inRings();
      expect(await a.tell(domain.regions(8 * MIB))).toBe(0);
      expect(then.filter((entry) => domain.live.has(entry))).toEqual([]);
    });

    it('is another table where anything of it differs, which has to be proved anew', async () => {
      const a = await connect(1);
      const [region] = domain.regions() as [XenRegion];
      const proofs = () => domain.asked.filter(([offset, pages]) => offset === 0 && pages === 1);
      for (const changed of [
        { ...region, userAddr: region.userAddr + 4096n },
        { ...region, size: region.size / 2n },
        { ...region, mmapOffset: 4096n },
        { ...region, xen: { ...region.xen, domid: 8 } },
      ]) {
        const seen = proofs().length;
        const accepted = changed.xen.domid === domain.domid;
        expect((await a.tell([changed])) === 0).toBe(accepted);
        expect(proofs().length > seen).toBe(accepted);
      }
    });

    it('is read and written where it is now, whatever was mapped before', async () => {
      const [a, b] = [await connect(0), await connect(1)];
      const place = 2 * CHUNK;
      const spare = 7 * CHUNK;
      expect(await echoes(b, place, [1, 2, 3])).toEqual([3]);
      for (let round = 0; round < 20; round++) {
        // The guest gave the page back and has another there.
        const frame = round % 2 === 0 ? spare : place;
        domain.moved.set(place, frame);
        expect(await a.tell()).toBe(0);
        const data = [round, 7, 7, 7];
        const { memory } = domain.guest;
        const old = new Uint8Array(8);
        const former = GUEST_BASE + BigInt(round % 2 === 0 ? place : spare);
        memory.read(former as never, old);
        memory.write((GUEST_BASE + BigInt(frame)) as never, Uint8Array.from(data));
        b.ring.driver.add([
          { guestAddr: (GUEST_BASE + BigInt(place)) as never, length: 4, writable: false },
          { guestAddr: (GUEST_BASE + BigInt(place) + 512n) as never, length: 4, writable: true },
        ]);
        if (b.ring.driver.publish()) b.ring.kick.signal();
        expect(await b.ring.collect(b.frontEnd.poller, 1)).toEqual([4]);
        const answer = new Uint8Array(4);
        memory.read((GUEST_BASE + BigInt(frame) + 512n) as never, answer);
        expect([...answer]).toEqual(data);
        const after = new Uint8Array(8);
        memory.read(former as never, after);
        expect(after).toEqual(old);
      }
    }, 60_000);

    it('under load loses no request and changes none', async () => {
      const [a, b] = [await connect(0), await connect(1)];
      let changing = true;
      let changes = 0;
      const change = async (): Promise<void> => {
        while (changing) {
          expect(await a.tell()).toBe(0);
          changes++;
        }
      };
      const changed = change();
      for (let i = 0; i < 200 || changes < 5; i++) {
        expect(await echoes(b, (i % 7) * CHUNK + 0x8_0000, [i & 0x7f, i >> 8, 9])).toEqual([3]);
      }
      changing = false;
      await changed;
      expect(errors()).toEqual([]);
    }, 60_000);

    it('is empty to a device that kept bytes of it, and stays so until nobody has them', async () => {
      const a = await connect(0);
      const b = await connect(1, domain, undefined, { module: KEEPS });
      const place = 3 * CHUNK;
      add(b, place, [1, 2, 3, 4]);
      if (b.ring.driver.publish()) b.ring.kick.signal();
      expect(await b.ring.collect(b.frontEnd.poller, 1)).toEqual([0]);
      expect(await b.device.command(['look'])).toEqual({ bytes: [1, 2, 3, 4] });
      expect(await a.tell()).toBe(0);
      await expect.poll(() => domain.chunks).not.toContain(place);
      for (let i = 0; i < 5; i++) expect(await echoes(a, i * CHUNK + 0x8_0000)).toEqual([3]);
      expect(await b.device.command(['look'])).toEqual({ bytes: [0, 0, 0, 0] });
      await b.device.command(['write']);
      const now = new Uint8Array(4);
      domain.guest.memory.read((GUEST_BASE + BigInt(place)) as never, now);
      expect([...now]).toEqual([1, 2, 3, 4]);
      await b.device.command(['forget']);
    });

    it('breaks a ring that is no longer in it, which then keeps nothing', async () => {
      const [a, b] = [await connect(0), await connect(1)];
      expect(await echoes(b, 2 * CHUNK)).toEqual([3]);
      domain.missing.add(0x4000);
      expect(await a.tell()).toBe(0);
      await until(() => b.ring.err.drain());
      const ofRing = ([offset]: readonly [number, number]) => offset >= 0x4000 && offset < CHUNK;
      await expect.poll(() => [...domain.live].filter(ofRing)).toEqual([]);
      expect(await echoes(a, 2 * CHUNK)).toEqual([3]);
    });

    it('is answered within a second or so when a device keeps what it has, which it may still return', async () => {
      const [a, b] = [await connect(0), await connect(1)];
      add(b, 2 * CHUNK, [0xfe, 0, 0, 0]);
      if (b.ring.driver.publish()) b.ring.kick.signal();
      await until(() => domain.chunks.includes(2 * CHUNK));
      expect(await echoes(b, 3 * CHUNK)).toEqual([3]);
      expect(await a.tell()).toBe(0);
      expect(domain.chunks).toContain(2 * CHUNK);
      add(b, 3 * CHUNK, [0xfd]);
      if (b.ring.driver.publish()) b.ring.kick.signal();
      expect(await b.ring.collect(b.frontEnd.poller, 2)).toEqual([4, 0]);
      await expect.poll(() => domain.chunks).not.toContain(2 * CHUNK);
    });
  });

  describe('is let go of', () => {
    beforeEach(() => start(16 * MIB));

    it('before the front-end hears that its connection has ended', async () => {
      const [a, b] = [await connect(0), await connect(1)];
      await echoes(a, 2 * CHUNK);
      await echoes(b, 3 * CHUNK);
      let live: number | undefined;
      const heard = a.frontEnd.closed.then(() => {
        live = domain.chunks.filter((offset) => offset === 2 * CHUNK).length;
      });
      // An error of the front-end's: the back-end ends it.
      a.frontEnd.send('VHOST_USER_SET_VRING_NUM', { index: 99, num: 1 });
      await heard;
      expect(live).toBe(0);
      expect(await echoes(b, 3 * CHUNK)).toEqual([3]);
      b.frontEnd.send('VHOST_USER_SET_VRING_NUM', { index: 99, num: 1 });
      await b.frontEnd.closed;
      expect(domain.live.size).toBe(0);
    });

    it('when the front-end goes', async () => {
      const a = await connect(0);
      await echoes(a, 2 * CHUNK);
      a.frontEnd.close();
      await expect.poll(() => domain.live.size).toBe(0);
    });

    it('when the device fails that has it on loan', async () => {
      const a = await connect(0);
      add(a, 2 * CHUNK, [0xfe, 0, 0, 0]);
      if (a.ring.driver.publish()) a.ring.kick.signal();
      await until(() => domain.chunks.includes(2 * CHUNK));
      add(a, 3 * CHUNK, [0xff]);
      if (a.ring.driver.publish()) a.ring.kick.signal();
      await a.frontEnd.closed;
      expect(domain.live.size).toBe(0);
    });

    it('when the worker dies that has it on loan, and the others go on', async () => {
      const a = await connect(0);
      // In another worker.
      const b = await connect(1, domain, undefined, { module: FAILS });
      expect(await echoes(a, 2 * CHUNK)).toEqual([3]);
      add(b, 3 * CHUNK, [3]);
      if (b.ring.driver.publish()) b.ring.kick.signal();
      await b.frontEnd.closed;
      expect(domain.chunks).not.toContain(3 * CHUNK);
      expect(await echoes(a, 2 * CHUNK)).toEqual([3]);
      a.frontEnd.close();
      await expect.poll(() => domain.live.size).toBe(0);
    });

    it('when the daemon is closed', async () => {
      const a = await connect(0);
      await echoes(a, 2 * CHUNK);
      await bench.daemon.close();
      expect(domain.live.size).toBe(0);
    });
  });
});
