import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServedDevice, VhostUserBackendError } from '../../src/index.ts';
import {
  type FrontEnd,
  Guest,
  GuestRing,
  negotiate,
  Sockets,
  until,
} from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';
import { Gate } from '../support/gate.ts';

const HOST = new URL('../fixtures/host-device.mjs', import.meta.url);
const SCRIPT = fileURLToPath(new URL('../fixtures/blocked-host-process.mjs', import.meta.url));
const ECHO = 1;
const BLOCK = 2;
const THROW = 3;
const EXIT = 4;
const UNCLONEABLE = 5;

const failed: { name: string; error: VhostUserBackendError }[] = [];
const onDeviceFailed = ({ name }: ServedDevice, error: VhostUserBackendError): void => {
  failed.push({ name, error });
};
const bench = useBench({}, { onDeviceFailed, closeTimeout: 8000 });
let gate: Gate;
beforeEach(() => {
  failed.length = 0;
  gate = new Gate();
});
const guests: { close(): void }[] = [];
afterEach(() => {
  for (const guest of guests.splice(0)) guest.close();
});

const threads = (): number => readdirSync('/proc/self/task').length;

const add = (name: string, key: string, options: object = {}): Promise<ServedDevice> =>
  bench().addDevice({ key, options: { gate: gate.memory, ...options } }, { name, module: HOST });

/** Waits until a device has handed this request to its host thread. */
const asked = (tag: number): Promise<void> =>
  until(() => bench().logger.lines.some(({ context }) => context['tag'] === tag));

/** A guest of its own for a device: front-end, memory and an enabled ring. */
async function guestOf(device: ServedDevice): Promise<{ frontEnd: FrontEnd; ring: GuestRing }> {
  const guest = new Guest();
  const frontEnd = bench().connect(device);
  const ring = new GuestRing(guest);
  guests.push(ring, guest);
  await negotiate(frontEnd, guest);
  ring.setUp(frontEnd);
  expect(await ring.enable(frontEnd)).toBe(0);
  return { frontEnd, ring };
}

describe('a host thread', () => {
  it('that blocks holds up no other device of the vring worker', async () => {
    const slow = await guestOf(await add('slow', 'a'));
    slow.ring.submit([BLOCK, 1]);
    await until(() => gate.blocked);
    // The echo device of the bench: there is one worker.
    const quick = await guestOf(bench().device);
    quick.ring.submit([1, 2, 3]);
    expect(await quick.ring.collect(quick.frontEnd.poller, 1)).toEqual([3]);
    expect(gate.tags).toEqual([1]);
    gate.open();
    expect(await slow.ring.collect(slow.frontEnd.poller, 1)).toEqual([2]);
  });

  it('is one for all devices that name the key, and ends with the last of them', async () => {
    const first = await add('first', 'a');
    const one = threads();
    const second = await add('second', 'a');
    expect(gate.created).toBe(1);
    // Those of earlier tests may still be going.
    expect(threads()).toBeLessThanOrEqual(one);
    const other = await add('other', 'b');
    expect(gate.created).toBe(2);
    await other.close();
    await until(() => gate.disposed === 1);
    await first.close();
    const { frontEnd, ring } = await guestOf(second);
    ring.submit([ECHO, 5]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
    await second.close();
    await until(() => gate.disposed === 2 && threads() < one);
    await add('again', 'a');
    expect(gate.created).toBe(3);
  });

  it('answers each device in order, and lets them take turns', async () => {
    const greedy = await guestOf(await add('greedy', 'a'));
    const modest = await guestOf(await add('modest', 'a'));
    greedy.ring.submit([BLOCK, 1], [ECHO, 2], [ECHO, 3], [ECHO, 4]);
    await asked(4);
    await until(() => gate.blocked);
    modest.ring.submit([ECHO, 20], [ECHO, 21]);
    await asked(21);
    gate.open();
    expect(await modest.ring.collect(modest.frontEnd.poller, 2)).toHaveLength(2);
    expect(await greedy.ring.collect(greedy.frontEnd.poller, 4)).toHaveLength(4);
    expect(gate.tags).toEqual([1, 20, 2, 21, 3, 4]);
  });

  it('refuses with the code of what the host threw, and goes on', async () => {
    const { frontEnd, ring } = await guestOf(await add('host', 'a'));
    ring.submit([THROW, 1], [UNCLONEABLE, 2], [ECHO, 3]);
    expect(await ring.collect(frontEnd.poller, 3)).toEqual([0, 0, 2]);
    const refused = () => bench().logger.lines.filter(({ message }) => message === 'refused');
    await until(() => refused().length === 2);
    expect(refused().map(({ context }) => context)).toMatchObject([
      { code: 'EBUSY', error: 'the host is busy' },
      { error: expect.stringContaining('could not be cloned') },
    ]);
  });

  it('whose host cannot be made fails the making of the device, with the same words', async () => {
    const throws = { code: 'EACCES', message: 'Cannot open /dev/thing: permission denied' };
    await expect(add('host', 'a', { throws })).rejects.toMatchObject({
      code: 'INVALID_DEVICE',
      message: throws.message,
    });
    await expect(
      bench().addDevice({ key: 'b', module: './throws.mjs' }, { module: HOST }),
    ).rejects.toMatchObject({ code: 'INVALID_DEVICE' });
    await expect(
      bench().addDevice({ key: 'c', module: './host-device.mjs' }, { module: HOST }),
    ).rejects.toThrow('exports no function createHost');
    expect(failed).toEqual([]);
    // None of the keys is spoilt.
    const { frontEnd, ring } = await guestOf(await add('host', 'a'));
    ring.submit([ECHO, 1]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('runs one module for a key', async () => {
    await add('host', 'a');
    await expect(
      bench().addDevice({ key: 'a', module: './throws.mjs' }, { module: HOST }),
    ).rejects.toThrow(/host thread of a: it runs .*gate-host/);
  });

  it('that ends by itself fails each device that is connected to it, and no other', async () => {
    const devices = [await add('first', 'a'), await add('second', 'a')] as const;
    const other = await guestOf(await add('other', 'b'));
    const { ring } = await guestOf(devices[0]);
    ring.submit([EXIT, 1]);
    await until(() => failed.length === 2);
    expect(failed.map(({ name }) => name).sort()).toEqual(['first', 'second']);
    for (const { error } of failed) {
      expect(error).toMatchObject({
        code: 'DEVICE_FAILED',
        message: expect.stringContaining('host thread of a: it has ended (exit code 3)'),
      });
    }
    other.ring.submit([ECHO, 2]);
    expect(await other.ring.collect(other.frontEnd.poller, 1)).toEqual([2]);
    const { frontEnd, ring: next } = await guestOf(await add('third', 'a'));
    next.submit([ECHO, 3]);
    expect(await next.collect(frontEnd.poller, 1)).toEqual([2]);
    expect(gate.created).toBe(3);
  });

  it('is another one for a device that is made again', async () => {
    const options = { key: 'a', options: { gate: gate.memory } };
    const restart = { firstDelay: 1 };
    const device = await bench().addDevice(options, { name: 'again', module: HOST, restart });
    const first = await guestOf(device);
    first.ring.submit([EXIT, 1]);
    await until(() => failed.length === 1);
    await until(() => device.failure === undefined);
    expect(gate.created).toBe(2);
    const { frontEnd, ring } = await guestOf(device);
    ring.submit([ECHO, 2]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('is not connected to with options that cannot be cloned', async () => {
    await expect(
      bench().addDevice({ key: 'a', unclonable: true }, { module: HOST }),
    ).rejects.toMatchObject({ code: 'INVALID_DEVICE' });
  });

  it('closes what a system call opened without a warning of Node', async () => {
    const device = await bench().addDevice(
      { key: 'descriptors', module: './descriptor-host.mjs' },
      { name: 'descriptors', module: HOST },
    );
    const { frontEnd, ring } = await guestOf(device);
    ring.submit([ECHO, 1]);
    // Nothing, if it was refused.
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('that blocks holds up neither the end of its device nor that of the daemon', async () => {
    const device = await add('host', 'a');
    const { ring } = await guestOf(device);
    ring.submit([BLOCK, 1], [ECHO, 2]);
    await asked(2);
    await until(() => gate.blocked);
    await device.close();
    await bench().daemon.close();
    expect(gate.tags).toEqual([1]);
    expect(bench().logger.find('host thread does not come back')).toMatchObject({
      context: { host: 'a' },
    });
  });

  it('drops what a device that is gone had asked', async () => {
    const device = await add('host', 'a');
    const other = await guestOf(await add('other', 'a'));
    const { ring } = await guestOf(device);
    ring.submit([BLOCK, 1], [ECHO, 2]);
    await asked(2);
    await until(() => gate.blocked);
    await device.close();
    gate.open();
    other.ring.submit([ECHO, 3]);
    expect(await other.ring.collect(other.frontEnd.poller, 1)).toEqual([2]);
    expect(gate.tags).toEqual([1, 3]);
  });
});

describe('A process whose host thread waits in native code', () => {
  const sockets = new Sockets();
  afterAll(() => sockets.close());

  it.each([
    ['close', 1, null],
    ['exit', null, 'SIGALRM'],
  ])('ends by itself: %s', async (how, code, signal) => {
    const child = spawn(process.execPath, [SCRIPT, how, sockets.path()], { stdio: 'inherit' });
    expect(await once(child, 'exit')).toEqual([code, signal]);
  });
});
