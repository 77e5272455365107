import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import type { CloseReason } from '@node-vmm/vhost-user';
import { guestAddress, type ShareableMemory } from '@node-vmm/vm-memory';
import { asFd, closeFd, EventFd, MainPoller, Mapping, memfdCreate } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VhostUserFrontend } from '../../src/index.ts';
import { until } from '../unit/fake-backend.ts';

/** rust-vmm's daemon: where a variable says, else where the project's set-up builds it. */
function findDaemon(): string | undefined {
  const named = env['VHOST_DEVICE_RNG'];
  if (named !== undefined) return named;
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'node-vmm');
  if (!existsSync(cache)) return undefined;
  return readdirSync(cache)
    .filter((name) => name.startsWith('vhost-device-rng-'))
    .flatMap((name) => [
      join(cache, name, 'bin/vhost-device-rng'),
      join(cache, name, 'vhost-device-rng'),
    ])
    .find((path) => existsSync(path));
}

const daemon = findDaemon();
if (daemon === undefined) {
  console.warn(
    'skipped: no vhost-device-rng; set VHOST_DEVICE_RNG, or `cargo install vhost-device-rng`',
  );
}

const BASE = 0x4000_0000;
const AVAIL = 0x1000;
const USED = 0x2000;
const DATA = 0x4000;
const SIZE = 256;
const VIRTQ_DESC_F_WRITE = 2;
const VIRTIO_F_VERSION_1 = 1n << 32n;

/** The driver's side of a split ring of 256, as little of it as an entropy request needs. */
class Driver {
  readonly memfd = memfdCreate('guest', 0x10000);
  readonly mapping = Mapping.create({ length: 0x10000, fd: this.memfd });
  readonly #view = new DataView(this.mapping.buffer());
  readonly memory: ShareableMemory = {
    sharedRegions: [
      { guestAddr: guestAddress(BASE), length: 0x10000n, fd: this.memfd, fdOffset: 0n },
    ],
  };
  #available = 0;

  /** Makes a writable buffer available. */
  offer(length: number): void {
    const head = this.#available % SIZE;
    this.#view.setBigUint64(16 * head, BigInt(BASE + DATA), true);
    this.#view.setUint32(16 * head + 8, length, true);
    this.#view.setUint16(16 * head + 12, VIRTQ_DESC_F_WRITE, true);
    this.#view.setUint16(AVAIL + 4 + 2 * head, head, true);
    this.#available++;
    this.#view.setUint16(AVAIL + 2, this.#available & 0xffff, true);
  }

  get used(): number {
    return this.#view.getUint16(USED + 2, true);
  }

  /** Bytes written into the last buffer that came back. */
  get written(): number {
    return this.#view.getUint32(USED + 4 + 8 * ((this.used - 1) % SIZE) + 4, true);
  }

  data(length: number): Uint8Array {
    return new Uint8Array(this.mapping.buffer(DATA, length)).slice();
  }

  close(): void {
    this.mapping.close();
    closeFd(this.memfd);
  }
}

describe.skipIf(daemon === undefined)('vhost-device-rng of rust-vmm', () => {
  let directory: string;
  let path: string;
  let child: ChildProcess;
  let poller: MainPoller;
  let driver: Driver;
  let kick: EventFd;
  let call: EventFd;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vhost-rng-'));
    path = join(directory, 'rng.sock0');
    // Named on the command line with the prefix of the socket's path.
    child = spawn(daemon as string, ['-s', join(directory, 'rng.sock')], { stdio: 'ignore' });
    poller = new MainPoller();
    driver = new Driver();
    kick = EventFd.create();
    call = EventFd.create();
  });

  afterEach(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    poller.close();
    driver.close();
    kick.close();
    call.close();
    rmSync(directory, { recursive: true });
  });

  const connect = (): Promise<VhostUserFrontend> =>
    VhostUserFrontend.connect({ path, poller, waitMs: 10_000 });

  const start = async (front: VhostUserFrontend, base = 0): Promise<void> => {
    await front.negotiate();
    await front.setFeatures(front.deviceFeatures & VIRTIO_F_VERSION_1);
    await front.setMemTable(driver.memory);
    await front.startVring({
      index: 0,
      size: SIZE,
      descTable: guestAddress(BASE),
      availRing: guestAddress(BASE + AVAIL),
      usedRing: guestAddress(BASE + USED),
      base,
      kick,
      call,
    });
  };

  it('fills buffers with entropy, stops and goes on where it was', async () => {
    const front = await connect();
    await start(front);
    expect(front.deviceFeatures & VIRTIO_F_VERSION_1).toBe(VIRTIO_F_VERSION_1);
    expect(front.queueCount).toBe(1);

    driver.offer(64);
    kick.signal();
    await until(() => driver.used === 1);
    expect(driver.written).toBe(64);
    const first = driver.data(64);
    expect(new Set(first).size).toBeGreaterThan(8);
    expect(call.drain()).toBe(true);

    await expect(front.stopVring(0)).resolves.toBe(1);
    await front.startVring({
      index: 0,
      size: SIZE,
      descTable: guestAddress(BASE),
      availRing: guestAddress(BASE + AVAIL),
      usedRing: guestAddress(BASE + USED),
      base: 1,
      kick,
      call,
    });
    driver.offer(64);
    kick.signal();
    await until(() => driver.used === 2);
    expect(driver.data(64)).not.toEqual(first);
    front.close();
  });

  it('serves a request whose kick came before the vring was enabled', async () => {
    const front = await connect();
    driver.offer(32);
    kick.signal();
    await start(front);
    await until(() => driver.used === 1);
    expect(driver.written).toBe(32);
    front.close();
  });

  it('is noticed when it dies, and serves again when it is back', async () => {
    const front = await connect();
    const closed: CloseReason[] = [];
    front.onClose((reason) => closed.push(reason));
    await start(front);
    child.kill('SIGKILL');
    await until(() => closed.length > 0);
    expect(closed).toMatchObject([{ kind: 'peer-closed' }]);
    await expect(front.stopVring(0)).rejects.toMatchObject({ code: 'CONNECTION_LOST' });

    child = spawn(daemon as string, ['-s', join(directory, 'rng.sock')], { stdio: 'ignore' });
    const again = await connect();
    await start(again);
    driver.offer(16);
    kick.signal();
    await until(() => driver.used === 1);
    again.close();
  });

  it('leaves no descriptor behind', async () => {
    poller.watch(asFd(0), {}, () => undefined).close();
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 3; i++) {
      const front = await connect();
      await start(front, 0);
      front.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
