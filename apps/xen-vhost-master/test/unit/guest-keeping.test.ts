import { readdirSync } from 'node:fs';
import { type KeptXenVm, XenVm } from '@node-vmm/ioreq-eventfd/xen';
import { Bridge, SocketDirectory } from '@node-vmm/vhost-bridge';
import { MemoryLogger } from '@node-vmm/vhost-bridge/testing';
import { FakeBackend } from '@node-vmm/vhost-user-master/testing';
import { VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_STATUS } from '@node-vmm/virtio-bindings';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { MainPoller, UnixListener } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { asDomId, asIoServId } from '@node-vmm/xen-sys';
import { type FakeDomain, FakeXen } from '@node-vmm/xen-sys/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AttachedXenGuest } from '../../src/attach-xen-guest.ts';
import { Domains } from '../../src/domains.ts';
import { GuestKeeping } from '../../src/guest-keeping.ts';
import { StateDir } from '../../src/state-dir.ts';
import { VirtioProtocol } from '../../src/virtio-protocol.ts';
import { XenbusSource } from '../../src/xenbus-source.ts';
import { TempDir } from '../support.ts';
import { Toolstack } from '../toolstack.ts';

const DEVICE = { key: 'told/7/0', guest: 7, deviceId: 34, base: 0x200_0000n, irq: 33 };
const STATUS = DEVICE.base + BigInt(VIRTIO_MMIO_STATUS);
const SERVER = asIoServId(0);
/** No guest of Arm has it as a line. */
const NO_IRQ = 5;

describe('guests from one bridge to the next', { timeout: 60_000 }, () => {
  let dir: TempDir;
  let poller: MainPoller;
  let stored: FakeXenStored;
  let store: XenStore;
  let fake: FakeXen;
  let domain: FakeDomain;
  let book: MemoryLogger;
  let listener: UnixListener;
  let left: ReadonlyMap<string, boolean>;
  const backends: FakeBackend[] = [];
  const open: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    dir = new TempDir();
    poller = new MainPoller();
    stored = await FakeXenStored.start();
    store = XenStore.open({ path: stored.path, poller });
    fake = new FakeXen({ poller });
    domain = fake.addDomain(7);
    stored.write('/local/domain/7/vm', '/vm/first');
    stored.write('/vm/first/start_time', '1.00');
    book = new MemoryLogger();
    listener = UnixListener.bind(dir.join('i2c.sock0'));
    poller.watch(listener.fd, { readable: true }, () => {
      const stream = listener.accept();
      if (stream === undefined) return;
      const backend = new FakeBackend(stream, poller);
      backend.features |= 1n;
      backends.push(backend);
    });
  });
  afterEach(async () => {
    for (const close of open.splice(0)) await close();
    for (const backend of backends.splice(0)) backend.close();
    listener.close();
    fake.close();
    store.close();
    await stored.close();
    poller.close();
    dir[Symbol.dispose]();
  });

  const attach = (takeUp: KeptXenVm | undefined): AttachedXenGuest => {
    const memory = GuestMemoryMmap.create([
      { guestAddr: guestAddress(0x4000_0000n), length: 65_536 },
    ]);
    const vm = XenVm.create(
      { xen: fake.host(), memory: () => memory, poller, logger: book },
      { domid: asDomId(7), irqs: 'spi', ...(takeUp === undefined ? {} : { takeUp }) },
    );
    let kept: KeptXenVm | undefined;
    const keep = async (): Promise<void> => {
      kept = await vm.keep();
    };
    const keeper = { keep, unkeep: () => vm.unkeep() };
    return { vm, memory: Promise.resolve(memory), keeper, kept: () => kept };
  };

  /** The bridge as `serve` starts it, with the one device. @returns what leaves its guests */
  async function start(
    bootId = 'this boot',
    irq = DEVICE.irq,
    announced?: 'by the toolstack',
  ): Promise<() => Promise<void>> {
    const states = StateDir.open(dir.join('state'), book);
    const keeping = new GuestKeeping({
      dir: states,
      domains: new Domains(store, book),
      logger: book,
      bootId,
    });
    left = await keeping.find();
    const bridge = new Bridge({
      attachVm: (guest) => {
        const attached = attach(keeping.claim(guest));
        keeping.attached(guest, attached);
        return attached;
      },
      sockets: new SocketDirectory(dir.path),
      poller,
      logger: book,
    });
    open.push(async () => {
      await bridge.close();
      states.close();
    });
    keeping.takeUp(bridge);
    if (announced !== undefined) {
      const hold = (): undefined => undefined;
      const protocol = new VirtioProtocol();
      const source = new XenbusSource({ store, logger: book, hold, protocol, left });
      open.unshift(() => source.close());
      await source.start(bridge);
      return async () => {
        await source.leave();
        await keeping.keep(bridge);
        states.close();
      };
    }
    const added = bridge.add({ ...DEVICE, irq });
    if (irq === DEVICE.irq) await added;
    else await expect(added).rejects.toThrow(String(irq));
    return async () => {
      await keeping.keep(bridge);
      states.close();
    };
  }
  const files = (): string[] => readdirSync(dir.join('state'));
  const status = async (): Promise<bigint> =>
    await domain.access({ address: STATUS, size: 4 }).completed;
  const deviceId = async (): Promise<bigint> =>
    await domain.access({ address: DEVICE.base + BigInt(VIRTIO_MMIO_DEVICE_ID), size: 4 })
      .completed;
  const setStatus = async (value: bigint): Promise<void> => {
    await domain.access({ address: STATUS, size: 4, value }).completed;
  };

  it('goes on 20 times, each time by a file that is there until it does', async () => {
    let leave = await start();
    for (let round = 0; round < 20; round++) {
      await setStatus(0n);
      await setStatus(BigInt(1 + (round & 2)));
      await leave();
      expect(files()).toEqual(['7.json']);
      const waiting = status();
      leave = await start();
      expect(files()).toEqual([]);
      expect(await waiting).toBe(BigInt(1 + (round & 2)));
      expect([...domain.servers.keys()]).toEqual([SERVER]);
    }
    expect(book.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  it.each([
    ['has another path in /vm', () => stored.write('/local/domain/7/vm', '/vm/second'), undefined],
    ['was started again', () => stored.write('/vm/first/start_time', '2.00'), undefined],
    ['is not there', () => stored.rm('/local/domain/7'), undefined],
    ['was there before this machine started', () => undefined, 'another boot'],
  ])(
    'are forgotten when the domain %s, and nothing is done to its server',
    async (why, change, boot) => {
      await setUpAndLeave();
      const server = domain.servers.get(SERVER);
      change();
      await start(boot);
      // Its nodes go before the toolstack has stopped waiting for its devices.
      expect([...left]).toEqual(why === 'is not there' ? [[DEVICE.key, true]] : []);
      expect(book.saying('a guest that was kept is gone')).toHaveLength(1);
      expect(files()).toEqual([]);
      expect(domain.servers.get(SERVER)).toBe(server);
      expect(server?.ranges).toHaveLength(1);
      expect([...domain.servers.keys()]).toEqual([SERVER, asIoServId(1)]);
    },
  );

  it('have the window of a device that failed, where they find none, until it is served', async () => {
    let leave = await start('this boot', NO_IRQ);
    expect(await deviceId()).toBe(0n);
    for (let round = 0; round < 3; round++) {
      await leave();
      expect(domain.servers.get(SERVER)).toMatchObject({ enabled: true, ranges: { length: 1 } });
      expect(files()).toEqual(['7.json']);
      const waiting = deviceId();
      leave = await start('this boot', NO_IRQ);
      expect(await waiting).toBe(0n);
      expect([...domain.servers.keys()]).toEqual([SERVER]);
    }
    await leave();
    await start();
    expect(await deviceId()).toBe(34n);
  });

  it.each([
    ['devices are unplugged', () => undefined, 0],
    ['domain is destroyed', () => fake.destroyDomain(asDomId(7)), 0],
    ['nodes are gone, but for its devices', () => stored.rm('/local/domain/7'), 1],
  ])("have their devices closed when meanwhile a guest's %s", async (_, change, servers) => {
    const toolstack = new Toolstack(stored);
    const [gone, other] = ['virtio/7/0', 'virtio/7/5'];
    const state = (key: string): string | undefined => toolstack.entry(key, 'state');
    toolstack.announce([gone]);
    const leave = await start('this boot', DEVICE.irq, 'by the toolstack');
    await vi.waitFor(() => expect(state(gone)).toBe('2'), 30_000);
    await leave();
    expect(state(gone)).toBe('2');
    toolstack.announce([other], { state: '2' });
    for (const key of [gone, other]) toolstack.askToClose(key);
    change();
    await start('this boot', DEVICE.irq, 'by the toolstack');
    await vi.waitFor(() => expect(state(gone)).toBe('6'), 30_000);
    expect(domain.servers.size).toBe(servers);
    // Another server's.
    expect(state(other)).toBe('5');
  });

  it('is made anew when its server is gone', async () => {
    await setUpAndLeave();
    domain.servers.get(SERVER)?.close();
    domain.servers.delete(SERVER);
    await start();
    expect(book.saying('what was kept of a guest cannot be used')).toHaveLength(1);
    expect(await status()).toBe(0n);
  });

  it('loses its devices when it could not be told from another of its number', async () => {
    stored.rm('/local/domain/7/vm');
    const leave = await start();
    await setStatus(1n);
    await leave();
    expect(book.saying('guest cannot be kept')[0]?.context).toMatchObject({
      err: { message: expect.stringContaining('Cannot keep domain 7') },
    });
    expect(files()).toEqual([]);
    expect(domain.servers.size).toBe(0);
  });

  async function setUpAndLeave(): Promise<void> {
    const leave = await start();
    await setStatus(3n);
    await leave();
  }
});
