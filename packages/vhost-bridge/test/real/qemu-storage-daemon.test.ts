// A back-end in C behind the bridge, which reads the guest's memory by mapping what the bridge lends it.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { VIRTIO_ID_BLOCK } from '@node-vmm/virtio-bindings';
import { DispatchThread } from '@node-vmm/vm-dispatch';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
import { MemoryLogger, until } from '../../src/testing/index.ts';
import { GuestProcess, i2cDevice, Machines, serving } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

const PROGRAM = 'qemu-storage-daemon';
const refused =
  spawnSync(PROGRAM, ['--version']).status === 0
    ? ''
    : ` (skipped, unavailable: ${PROGRAM}; Debian has it in qemu-system-common)`;
const GUEST = fileURLToPath(new URL('../support/blk-guest.mjs', import.meta.url));
const SECTOR = 512;
const SECTORS = 64;
const DEVICE = { ...i2cDevice(), deviceId: VIRTIO_ID_BLOCK };
const ROUNDS = 3;

describe.skipIf(refused !== '').each([
  ['the main thread', false],
  ['a dispatch thread', true],
])(`qemu-storage-daemon behind the bridge, registers served by %s${refused}`, (_, dispatched) => {
  let dir: TempDir;
  let poller: MainPoller;
  let logger: MemoryLogger;
  let machines: Machines;
  let bridge: Bridge;
  let thread: DispatchThread | undefined;
  let guest: GuestProcess | undefined;
  let daemon: ChildProcess | undefined;
  const image = (): string => dir.join('disk.img');

  beforeEach(async () => {
    dir = new TempDir();
    poller = new MainPoller();
    logger = new MemoryLogger();
    if (dispatched) {
      thread = await DispatchThread.start({ poller });
      serving.host = thread;
    }
    machines = new Machines(poller);
    bridge = new Bridge({
      attachVm: (id) => {
        const vm = machines.get(id);
        return { vm, memory: Promise.resolve(vm.memory) };
      },
      sockets: new SocketDirectory(dir.path),
      poller,
      logger,
    });
    const sectors = Array.from({ length: SECTORS }, (__, i) => Buffer.alloc(SECTOR, i + 1));
    writeFileSync(image(), Buffer.concat(sectors));
  });

  afterEach(async () => {
    await guest?.end();
    await kill();
    await bridge.close();
    machines.close();
    delete serving.host;
    thread?.close();
    await thread?.ended;
    poller.close();
    dir[Symbol.dispose]();
  });

  function start(): void {
    const socket = dir.join('blk.sock0');
    const file = `driver=file,node-name=disk,filename=${image()}`;
    const place = `addr.type=unix,addr.path=${socket}`;
    const shown = `type=vhost-user-blk,id=export,node-name=disk,writable=on,${place}`;
    daemon = spawn(PROGRAM, ['--blockdev', file, '--export', shown], { stdio: 'inherit' });
  }

  async function kill(): Promise<void> {
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const closed = once(daemon, 'close');
    daemon.kill('SIGKILL');
    await closed;
    // It is in its way otherwise.
    rmSync(dir.join('blk.sock0'), { force: true });
  }

  it('reads and writes for the guest, is killed and started again, and the guest goes on', async () => {
    start();
    await bridge.add(DEVICE);
    guest = new GuestProcess(machines.get(DEVICE.guest), DEVICE, GUEST);
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('capacity')).toBe(SECTORS);
    for (let round = 0; round < ROUNDS; round++) {
      if (round > 0) {
        await kill();
        await until(() => logger.saying('back-end lost').length === round);
        start();
        await until(() => logger.saying('back-end connected').length === round + 1);
      }
      for (let sector = 0; sector < SECTORS; sector++) {
        const before = round === 0 ? sector + 1 : 0x80 + round - 1;
        expect(await guest.ask('read', sector)).toBe(before);
        expect(await guest.ask('write', sector, 0x80 + round)).toBe(true);
      }
    }
    const last = 0x80 + ROUNDS - 1;
    expect(readFileSync(image())).toEqual(Buffer.alloc(SECTORS * SECTOR, last));
    expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
