import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VhostUserFrontend } from '../../src/index.ts';
import { until } from '../support/event-loop.ts';
import { findDaemon } from './daemon.ts';
import { data, Guest } from './guest.ts';

const { daemon, title } = findDaemon('vhost-device-scmi');

/** Message 0 (PROTOCOL_VERSION) of the base protocol, 0x10; DEN0056 §4.1.2 and §4.2.2.1. */
const PROTOCOL_VERSION = 0x10 << 10;
/** Header, status and version. */
const ANSWER_SIZE = 12;

// The entropy daemon was not published again since its vhost-user-backend 0.10; this one is on 0.20.
describe.skipIf(daemon === undefined)(title, () => {
  let directory: string;
  let child: ChildProcess;
  let poller: MainPoller;
  let guest: Guest;

  const path = (): string => join(directory, 'scmi.sock');
  const launch = (): ChildProcess => spawn(daemon as string, ['-s', path()], { stdio: 'ignore' });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vhost-scmi-'));
    child = launch();
    poller = new MainPoller();
    guest = new Guest();
  });

  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  };

  afterEach(async () => {
    await kill();
    poller.close();
    guest.close();
    rmSync(directory, { recursive: true });
  });

  const open = async (): Promise<VhostUserFrontend> => {
    const front = await VhostUserFrontend.connect({ path: path(), poller, waitMs: 60_000 });
    await front.negotiate();
    return front;
  };

  const ask = async (): Promise<void> => {
    const { memory, driver } = guest;
    memory.writeU32(data(0), PROTOCOL_VERSION);
    memory.writeU32(data(0x104), 0xffff_ffff);
    driver.add([
      { guestAddr: data(0), length: 4, writable: false },
      { guestAddr: data(0x100), length: ANSWER_SIZE, writable: true },
    ]);
    guest.publish();
    expect((await guest.next()).written).toBe(ANSWER_SIZE);
    expect(memory.readU32(data(0x100))).toBe(PROTOCOL_VERSION);
    expect(memory.readU32(data(0x104))).toBe(0);
  };

  it('begins a fresh ring anew after a reset', async () => {
    const front = await open();
    await guest.negotiate(front);
    for (let round = 0; round < 3; round++) {
      await front.startVring(guest.vring());
      for (let i = 0; i < 3; i++) await ask();
      expect(guest.usedIndex).toBe(3);
      await front.resetDevice();
      await guest.setUp(front);
    }
    front.close();
  });

  it('goes on where the one before it was killed', async () => {
    const front = await open();
    await guest.negotiate(front);
    const position = guest.position();
    await front.startVring(guest.vring());
    for (let i = 0; i < 3; i++) await ask();
    await kill();
    await until(() => !front.live);
    rmSync(path(), { force: true });

    child = launch();
    const again = await open();
    await guest.goOn(again);
    await again.startVring(guest.vring(position.resume(true)));
    await ask();
    expect(position.progress()).toBe('possible');
    expect(position.indices).toEqual({ used: 4, avail: 4 });
    again.close();
  });
});
