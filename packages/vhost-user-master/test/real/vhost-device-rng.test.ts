import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CloseReason } from '@node-vmm/vhost-user';
import { asFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shouldReconnect, VhostUserFrontend } from '../../src/index.ts';
import { until } from '../support/event-loop.ts';
import { findDaemon } from './daemon.ts';
import { data, Guest } from './guest.ts';

const { daemon, title } = findDaemon('vhost-device-rng');

const buffer = (length: number) => ({ guestAddr: data(0), length, writable: true });

describe.skipIf(daemon === undefined)(title, () => {
  let directory: string;
  let child: ChildProcess;
  let poller: MainPoller;
  let guest: Guest;

  // The daemon appends the number of the socket.
  const launch = (): ChildProcess =>
    spawn(daemon as string, ['-s', join(directory, 'rng.sock')], { stdio: 'ignore' });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vhost-rng-'));
    child = launch();
    poller = new MainPoller();
    guest = new Guest();
  });

  afterEach(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    poller.close();
    guest.close();
    rmSync(directory, { recursive: true });
  });

  const open = async (): Promise<VhostUserFrontend> => {
    const path = join(directory, 'rng.sock0');
    const front = await VhostUserFrontend.connect({ path, poller, waitMs: 60_000 });
    await front.negotiate();
    return front;
  };

  const connect = async (): Promise<VhostUserFrontend> => {
    const front = await open();
    await guest.negotiate(front);
    return front;
  };

  const bytes = (length: number): Uint8Array => {
    const target = new Uint8Array(length);
    guest.memory.read(data(0), target);
    return target;
  };

  it('fills buffers with entropy, stops and goes on where it was', async () => {
    const front = await connect();
    expect(front.queueCount).toBe(1);
    await front.startVring(guest.vring());
    guest.driver.add([buffer(64)]);
    guest.publish();
    expect((await guest.next()).written).toBe(64);
    const first = bytes(64);
    expect(new Set(first).size).toBeGreaterThan(8);
    await until(() => guest.call.drain());

    await expect(front.stopVring(0)).resolves.toBe(1);
    await front.startVring(guest.vring(1));
    guest.driver.add([buffer(64)]);
    guest.publish();
    expect((await guest.next()).written).toBe(64);
    expect(bytes(64)).not.toEqual(first);
    front.close();
  });

  it('serves a request whose kick came before the vring was enabled', async () => {
    const front = await connect();
    guest.driver.add([buffer(32)]);
    guest.publish();
    await front.startVring(guest.vring());
    expect((await guest.next()).written).toBe(32);
    front.close();
  });

  it('is noticed when it dies, and serves again when it is back', async () => {
    const front = await connect();
    const closed: CloseReason[] = [];
    front.onClose((reason) => closed.push(reason));
    await front.startVring(guest.vring());
    child.kill('SIGKILL');
    await until(() => closed.length > 0);
    expect(closed).toMatchObject([{ kind: 'peer-closed' }]);
    const error: unknown = await front.stopVring(0).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(shouldReconnect(error)).toBe(true);

    child = launch();
    const again = await connect();
    await again.startVring(guest.vring());
    guest.driver.add([buffer(16)]);
    guest.publish();
    expect((await guest.next()).written).toBe(16);
    again.close();
  });

  it('begins a fresh ring anew after a reset, which it has no message for', async () => {
    const front = await connect();
    await front.startVring(guest.vring());
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 3; i++) {
        guest.driver.add([buffer(16)]);
        guest.publish();
        expect((await guest.next()).written).toBe(16);
      }
      expect(guest.usedIndex).toBe(3);
      await front.resetDevice();
      await guest.setUp(front);
      expect(guest.usedIndex).toBe(0);
      await front.startVring(guest.vring());
    }
    front.close();
  });

  it('is caught when it goes on elsewhere after it was killed', async () => {
    const front = await connect();
    const position = guest.position();
    await front.startVring(guest.vring());
    for (let i = 0; i < 3; i++) {
      guest.driver.add([buffer(16)]);
      guest.publish();
      await guest.next();
    }
    expect(position.progress()).toBe('possible');
    child.kill('SIGKILL');
    await until(() => !front.live);

    child = launch();
    const again = await open();
    await guest.goOn(again);
    expect(position.resume(true)).toBe(3);
    await again.startVring(guest.vring(position.base));
    guest.driver.add([buffer(16)]);
    guest.publish();
    // vhost-user-backend 0.10 counts by itself what it returned, from 0.
    await until(() => position.progress() !== 'none');
    expect(position.progress()).toBe('impossible');
    expect(position.indices).toEqual({ used: 1, avail: 4 });
    again.close();
  });

  it('leaves no descriptor behind', async () => {
    poller.watch(asFd(0), {}, () => undefined).close();
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 3; i++) {
      const front = await connect();
      await front.startVring(guest.vring());
      front.close();
    }
    await expect.poll(() => readdirSync('/proc/self/fd').length).toBe(before);
  });
});
