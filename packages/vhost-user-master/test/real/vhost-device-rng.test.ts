import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import type { CloseReason } from '@node-vmm/vhost-user';
import { asFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VhostUserFrontend } from '../../src/index.ts';
import { until } from '../unit/fake-backend.ts';
import { DATA, Driver } from './driver.ts';

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

const VIRTIO_F_VERSION_1 = 1n << 32n;

const buffer = (length: number) => ({ at: DATA, length, writable: true });

describe.skipIf(daemon === undefined)('vhost-device-rng of rust-vmm', () => {
  let directory: string;
  let path: string;
  let child: ChildProcess;
  let poller: MainPoller;
  let driver: Driver;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vhost-rng-'));
    path = join(directory, 'rng.sock0');
    // Named on the command line with the prefix of the socket's path.
    child = spawn(daemon as string, ['-s', join(directory, 'rng.sock')], { stdio: 'ignore' });
    poller = new MainPoller();
    driver = new Driver();
  });

  afterEach(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    poller.close();
    driver.close();
    rmSync(directory, { recursive: true });
  });

  const connect = (): Promise<VhostUserFrontend> =>
    VhostUserFrontend.connect({ path, poller, waitMs: 10_000 });

  const start = async (front: VhostUserFrontend): Promise<void> => {
    await front.negotiate();
    await front.setFeatures(front.deviceFeatures & VIRTIO_F_VERSION_1);
    await front.setMemTable(driver.memory);
    await front.startVring(driver.vring());
  };

  it('fills buffers with entropy, stops and goes on where it was', async () => {
    const front = await connect();
    await start(front);
    expect(front.deviceFeatures & VIRTIO_F_VERSION_1).toBe(VIRTIO_F_VERSION_1);
    expect(front.queueCount).toBe(1);

    driver.offer(buffer(64));
    driver.kick.signal();
    await until(() => driver.used === 1);
    expect(driver.written).toBe(64);
    const first = driver.bytes(DATA, 64);
    expect(new Set(first).size).toBeGreaterThan(8);
    expect(driver.call.drain()).toBe(true);

    await expect(front.stopVring(0)).resolves.toBe(1);
    await front.startVring(driver.vring(1));
    driver.offer(buffer(64));
    driver.kick.signal();
    await until(() => driver.used === 2);
    expect(driver.bytes(DATA, 64)).not.toEqual(first);
    front.close();
  });

  it('serves a request whose kick came before the vring was enabled', async () => {
    const front = await connect();
    driver.offer(buffer(32));
    driver.kick.signal();
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
    driver.offer(buffer(16));
    driver.kick.signal();
    await until(() => driver.used === 1);
    again.close();
  });

  it('leaves no descriptor behind', async () => {
    poller.watch(asFd(0), {}, () => undefined).close();
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 3; i++) {
      const front = await connect();
      await start(front);
      front.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
