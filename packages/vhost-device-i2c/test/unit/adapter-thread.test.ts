import { deviceModule, VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { socketDirectory } from '../support/daemon.ts';
import { SocketGuest } from '../support/socket-guest.ts';

const DEVICE = new URL('../fixtures/blocking-device.mjs', import.meta.url);
/** Address whose transfers wait for `open`. */
const BLOCKING = 0x10;
const QUICK = 0x11;

let directory: ReturnType<typeof socketDirectory>;
let daemon: VhostUserDaemon;
/** Blocked, open, transfers made: shared with the fixtures. */
let gate: Int32Array;
const guests: SocketGuest[] = [];

beforeEach(() => {
  directory = socketDirectory();
  // One thread for all vrings.
  daemon = new VhostUserDaemon();
  gate = new Int32Array(new SharedArrayBuffer(16));
});
afterEach(async () => {
  open();
  for (const guest of guests.splice(0)) guest.close();
  await daemon.close();
  directory[Symbol.dispose]();
});

function open(): void {
  Atomics.store(gate, 1, 1);
  Atomics.notify(gate, 1);
}

async function blocked(): Promise<void> {
  while (Atomics.load(gate, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function guestOn(name: string, key: string): Promise<SocketGuest> {
  const socketPath = `${directory.path}/${name}`;
  await daemon.addDevice({ name, module: DEVICE, socketPath, options: { key, gate } });
  const guest = await SocketGuest.connect(socketPath);
  guests.push(guest);
  return guest;
}

describe('an adapter whose transfer takes long', () => {
  it('stalls no guest of another one on the same vring worker', async () => {
    const slow = await guestOn('slow', 'a');
    const quick = await guestOn('quick', 'b');
    const waiting = slow.read(BLOCKING, 0, 2);
    await blocked();
    for (let i = 0; i < 10; i++) expect(await quick.read(QUICK, 0, 1)).toEqual([QUICK]);
    expect(Atomics.load(gate, 2)).toBe(10);
    open();
    expect(await waiting).toEqual([BLOCKING, BLOCKING]);
  });

  it('serves every guest on it, however much another asks', async () => {
    const greedy = await guestOn('greedy', 'a');
    const modest = await guestOn('modest', 'a');
    const many = Array.from({ length: 50 }, () => ({ address: QUICK, read: 1 }));
    const waiting = greedy.exchange({ address: BLOCKING, read: 1 }, ...many);
    await blocked();
    const one = modest.read(QUICK, 0, 1);
    open();
    expect(await one).toEqual([QUICK]);
    const answers = await waiting;
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 0));
  });

  it('goes on with it when its guest is gone, and then serves the next', async () => {
    const first = await guestOn('device', 'a');
    void first.read(BLOCKING, 0, 1);
    await blocked();
    guests.splice(0);
    first.close();
    const second = await SocketGuest.connect(`${directory.path}/device`);
    guests.push(second);
    const waiting = second.read(QUICK, 0, 1);
    open();
    expect(await waiting).toEqual([QUICK]);
    expect(Atomics.load(gate, 2)).toBe(2);
  });
});

describe('a Linux adapter that cannot be opened', () => {
  it('fails the making of the device, in one line', async () => {
    const module = deviceModule(
      './device.js',
      new URL('../../src/device.ts', import.meta.url).href,
    );
    const adding = daemon.addDevice({
      name: 'i2c',
      module,
      socketPath: `${directory.path}/i2c`,
      options: { hosts: [{ kind: 'linux', bus: 4095, addresses: [1] }] },
    });
    await expect(adding).rejects.toMatchObject({
      code: 'INVALID_DEVICE',
      message: "ENOENT: no such file or directory, open '/dev/i2c-4095'",
    });
  });
});
