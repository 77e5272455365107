import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  INFLIGHT_PROTOCOL_FEATURE,
  InflightKeeper,
  SUPPORTED_PROTOCOL_FEATURES,
  VhostUserFrontend,
} from '../../src/index.ts';
import { data, Guest } from './guest.ts';

const daemon = 'qemu-storage-daemon';
const available = spawnSync(daemon, ['--version']).status === 0;
if (!available) console.warn(`skipped: no ${daemon}; Debian has it in qemu-system-common`);

const SECTOR = 512;
const SECTORS = 64;
const VIRTIO_BLK_T_IN = 0;

describe.skipIf(!available)('vhost-user-blk of qemu-storage-daemon (libvhost-user)', () => {
  let directory: string;
  let path: string;
  let child: ChildProcess;
  let poller: MainPoller;
  let guest: Guest;

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
    guest = new Guest();
  });

  afterEach(async () => {
    if (child.exitCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    poller.close();
    guest.close();
    rmSync(directory, { recursive: true });
  });

  const connect = async (): Promise<VhostUserFrontend> => {
    const front = await VhostUserFrontend.connect({ path, poller, waitMs: 60_000 });
    await front.negotiate();
    return front;
  };

  async function readSector(index: number): Promise<Uint8Array> {
    const { memory, driver } = guest;
    memory.writeU32(data(0), VIRTIO_BLK_T_IN);
    memory.writeU64(data(8), BigInt(index));
    memory.writeU8(data(0x1000), 0xff);
    driver.add([
      { guestAddr: data(0), length: 16, writable: false },
      { guestAddr: data(0x200), length: SECTOR, writable: true },
      { guestAddr: data(0x1000), length: 1, writable: true },
    ]);
    guest.publish();
    await guest.next();
    expect(memory.readU8(data(0x1000))).toBe(0);
    const sector = new Uint8Array(SECTOR);
    memory.read(data(0x200), sector);
    return sector;
  }

  it('answers for its capacity in configuration space', async () => {
    const front = await connect();
    const capacity = await front.getConfig(0, 8);
    expect(Buffer.from(capacity).readBigUInt64LE()).toBe(BigInt(SECTORS));
    // blk_size, at its own offset, which libvhost-user would ignore.
    expect(Buffer.from(await front.getConfig(20, 4)).readUInt32LE()).toBe(SECTOR);
    expect(front.queueCount).toBeGreaterThanOrEqual(1);
    front.close();
  });

  it('is not believed beyond its configuration space', async () => {
    const front = await connect();
    // It answers this with the first bytes, and says that they are those at 256.
    await expect(front.getConfig(256, 4)).rejects.toMatchObject({ code: 'REQUEST_FAILED' });
    await expect(front.getConfig(200, 300)).rejects.toMatchObject({ code: 'REQUEST_FAILED' });
    expect(front.live).toBe(true);
    front.close();
  });

  it('begins a fresh ring anew after a reset, which it has no message for', async () => {
    const front = await connect();
    await guest.negotiate(front);
    for (let round = 0; round < 3; round++) {
      await front.startVring(guest.vring());
      expect(await readSector(round)).toEqual(new Uint8Array(SECTOR).fill(round + 1));
      expect(guest.usedIndex).toBe(1);
      await front.resetDevice();
      await guest.setUp(front);
    }
    front.close();
  });

  it('takes back the area for requests in flight that it made, or offers none', async () => {
    using keeper = new InflightKeeper({ queues: 1, queueSize: 256, stateful: false });
    for (let round = 0; round < 2; round++) {
      const front = await VhostUserFrontend.connect({ path, poller, waitMs: 60_000 });
      const protocolFeatures = SUPPORTED_PROTOCOL_FEATURES | INFLIGHT_PROTOCOL_FEATURE;
      await front.negotiate({ protocolFeatures });
      const offered = (front.protocolFeatures & INFLIGHT_PROTOCOL_FEATURE) !== 0n;
      await (round === 0 ? guest.negotiate(front) : guest.goOn(front));
      await keeper.handOver(front);
      expect(keeper.record !== undefined).toBe(offered);
      await front.startVring(guest.vring(round));
      expect(await readSector(round)).toEqual(new Uint8Array(SECTOR).fill(round + 1));
      await expect(front.stopVring(0)).resolves.toBe(round + 1);
      front.close();
    }
  });

  it('reads sectors, stops, starts again and survives a reconnect', async () => {
    for (let round = 0; round < 2; round++) {
      const front = await connect();
      await guest.negotiate(front);
      for (let i = 0; i < 3; i++) {
        await front.startVring(guest.vring(i));
        const index = 10 * round + i;
        expect(await readSector(index)).toEqual(new Uint8Array(SECTOR).fill(index + 1));
        await expect(front.stopVring(0)).resolves.toBe(i + 1);
      }
      front.close();
    }
  });
});
