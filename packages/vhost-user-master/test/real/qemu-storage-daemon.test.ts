import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VhostUserFrontend } from '../../src/index.ts';
import { until } from '../unit/fake-backend.ts';
import { DATA, Driver } from './driver.ts';

const daemon = 'qemu-storage-daemon';
const available = spawnSync(daemon, ['--version']).status === 0;
if (!available) console.warn(`skipped: no ${daemon}; Debian has it in qemu-system-common`);

const SECTOR = 512;
const SECTORS = 64;
const VIRTIO_F_VERSION_1 = 1n << 32n;
const VIRTIO_BLK_T_IN = 0;

describe.skipIf(!available)('vhost-user-blk of qemu-storage-daemon (libvhost-user)', () => {
  let directory: string;
  let path: string;
  let child: ChildProcess;
  let poller: MainPoller;
  let driver: Driver;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vhost-blk-'));
    path = join(directory, 'blk.sock');
    const image = join(directory, 'disk.img');
    const sectors = Array.from({ length: SECTORS }, (_, i) => Buffer.alloc(SECTOR, i + 1));
    writeFileSync(image, Buffer.concat(sectors));
    child = spawn(
      daemon,
      [
        ['--blockdev', `driver=file,node-name=disk,filename=${image}`],
        [
          '--export',
          `type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=${path}`,
        ],
      ].flat(),
      { stdio: 'ignore' },
    );
    poller = new MainPoller();
    driver = new Driver();
  });

  afterEach(async () => {
    if (child.exitCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    poller.close();
    driver.close();
    rmSync(directory, { recursive: true });
  });

  const connect = async (): Promise<VhostUserFrontend> => {
    const front = await VhostUserFrontend.connect({ path, poller, waitMs: 10_000 });
    await front.negotiate();
    return front;
  };

  it('answers for its capacity in configuration space', async () => {
    const front = await connect();
    const capacity = await front.getConfig(0, 8);
    expect(Buffer.from(capacity).readBigUInt64LE()).toBe(BigInt(SECTORS));
    // blk_size, at its own offset, which libvhost-user would ignore.
    expect(Buffer.from(await front.getConfig(20, 4)).readUInt32LE()).toBe(SECTOR);
    expect(front.queueCount).toBeGreaterThanOrEqual(1);
    front.close();
  });

  it('reads a sector, stops, starts again and survives a reconnect', async () => {
    for (let round = 0; round < 2; round++) {
      const front = await connect();
      await front.setFeatures(front.deviceFeatures & VIRTIO_F_VERSION_1);
      await front.setMemTable(driver.memory);
      for (let i = 0; i < 2; i++) {
        const request = 2 * round + i;
        await front.startVring(driver.vring(request));
        driver.view.setUint32(DATA, VIRTIO_BLK_T_IN, true);
        driver.view.setBigUint64(DATA + 8, BigInt(10 + request), true);
        driver.view.setUint8(DATA + 0x1000, 0xff);
        driver.offer(
          { at: DATA, length: 16, writable: false },
          { at: DATA + 0x200, length: SECTOR, writable: true },
          { at: DATA + 0x1000, length: 1, writable: true },
        );
        driver.kick.signal();
        await until(() => driver.used === request + 1);
        expect(driver.view.getUint8(DATA + 0x1000)).toBe(0);
        expect(driver.bytes(DATA + 0x200, SECTOR)).toEqual(
          new Uint8Array(SECTOR).fill(11 + request),
        );
        await expect(front.stopVring(0)).resolves.toBe(request + 1);
      }
      front.close();
    }
  });
});
