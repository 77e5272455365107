// Titles name sections of the vhost-user specification (QEMU docs/interop/vhost-user.rst).
import { EventFd } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServedDevice } from '../../src/index.ts';
import { type FrontEnd, type GuestRing, until } from '../../src/testing/index.ts';
import { type Bench, useBench } from '../bench.ts';
import { ToldTable } from '../told-table.ts';

const MODULE = new URL('../fixtures/stopping-device.mjs', import.meta.url);
const HOLD = 1;

const getBase = (frontEnd: FrontEnd, index = 0) =>
  frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index, num: 0 });

let go: EventFd;
beforeEach(() => {
  go = EventFd.create();
});
afterEach(() => go.close());

/** A device that holds a request, another having been answered. */
async function holding(
  bench: Bench,
  how: 'complete' | 'drop' | 'throw',
  table?: ToldTable,
): Promise<{ device: ServedDevice; frontEnd: FrontEnd; ring: GuestRing }> {
  const options = { go: go.fd, how };
  const device = await bench.addDevice(options, { name: 'stopping', module: MODULE });
  const { frontEnd, ring } = await bench.running(device);
  if (table !== undefined) {
    const { regions, fds } = table;
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds)).toBe(0);
  }
  ring.submit([HOLD], [5]);
  expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  return { device, frontEnd, ring };
}

describe('Starting and stopping rings', () => {
  const bench = useBench({}, { stopTimeout: 60_000, closeTimeout: 60_000 });

  it('GET_VRING_BASE waits until the device is done, and nobody else does', async () => {
    const { frontEnd, ring } = await holding(bench(), 'complete');
    let answered = false;
    const answer = getBase(frontEnd).finally(() => {
      answered = true;
    });
    await until(() => bench().logger.find('asked to stop') !== undefined);
    // A ring that stops takes nothing more; the echo device beside it, in the same worker, serves.
    ring.submit([6]);
    const other = await bench().running();
    other.ring.submit([9, 9]);
    expect(await other.ring.collect(other.frontEnd.poller, 1)).toEqual([2]);
    expect(answered).toBe(false);
    expect(bench().logger.find('stopped')).toBeUndefined();
    go.signal();
    expect(await answer).toEqual({ index: 0, num: 2 });
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
    expect(bench().logger.lines.filter(({ message }) => message === 'stopped')).toHaveLength(1);
  });

  it('a device that fails while a ring stops leaves nobody waiting', async () => {
    const { device, frontEnd } = await holding(bench(), 'throw');
    const answer = getBase(frontEnd).catch(() => 'gone');
    await until(() => bench().logger.find('asked to stop') !== undefined);
    go.signal();
    expect(await answer).toBe('gone');
    await until(() => device.failure !== undefined);
    expect(device.failure).toMatchObject({ code: 'DEVICE_FAILED' });
    await device.close();
  });

  it('the end of a connection waits for the device too, then the next is served', async () => {
    const { device, frontEnd } = await holding(bench(), 'drop');
    frontEnd.close();
    await until(() => bench().logger.find('asked to stop') !== undefined);
    go.signal();
    const next = await bench().running(device);
    next.ring.submit([5]);
    expect(await next.ring.collect(next.frontEnd.poller, 1)).toEqual([1]);
  });

  it('and what a front-end asked for before it went is waited for no longer', async () => {
    const { device, frontEnd, ring } = await holding(bench(), 'drop');
    for (const index of [0, 1]) frontEnd.send('VHOST_USER_GET_VRING_BASE', { index, num: 0 });
    await until(() => bench().logger.find('asked to stop') !== undefined);
    const began = performance.now();
    frontEnd.close();
    const next = await bench().running(device);
    // Of a minute that the device has while somebody waits.
    expect(performance.now() - began).toBeLessThan(5_000);
    next.ring.submit([5]);
    expect(await next.ring.collect(next.frontEnd.poller, 1)).toEqual([1]);
    expect(ring.driver.poll()).toBeUndefined();
    // Who connects then has the patience that there was.
    next.ring.submit([HOLD], [5]);
    expect(await next.ring.collect(next.frontEnd.poller, 1)).toEqual([1]);
    let answered = false;
    const answer = getBase(next.frontEnd).finally(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(answered).toBe(false);
    go.signal();
    await answer;
  });

  it('but not for long: nobody asks for what it still does', async () => {
    const { device, frontEnd } = await holding(bench(), 'drop');
    frontEnd.close();
    const next = await bench().running(device);
    expect(bench().logger.find('ring stopped without the device')).toBeDefined();
    next.ring.submit([5]);
    expect(await next.ring.collect(next.frontEnd.poller, 1)).toEqual([1]);
  });
});

describe('Starting and stopping rings of a device that is never done', () => {
  const bench = useBench({}, { stopTimeout: 50 });

  it('GET_VRING_BASE is answered after stopTimeout; memory stays until the device is done', async () => {
    using table = new ToldTable(bench().guest, 'table');
    const { frontEnd, ring } = await holding(bench(), 'drop', table);
    expect(await getBase(frontEnd)).toEqual({ index: 0, num: 2 });
    expect(bench().logger.find('ring stopped without the device')?.context).toMatchObject({
      device: 'stopping',
      ring: 0,
    });
    const { regions, fds } = bench().guest;
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds)).toBe(0);
    expect(table.mapped).toBe(true);
    ring.setUp(frontEnd, 2);
    expect(await ring.enable(frontEnd)).toBe(0);
    ring.submit([6]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
    expect(table.mapped).toBe(true);
    go.signal();
    await until(() => !table.mapped);
  });

  it('a connection that ends does not wait for it longer than that', async () => {
    const { device, frontEnd } = await holding(bench(), 'drop');
    frontEnd.close();
    const next = await bench().running(device);
    next.ring.submit([5]);
    expect(await next.ring.collect(next.frontEnd.poller, 1)).toEqual([1]);
  });
});

describe('Closing a daemon whose device is never done', () => {
  const bench = useBench({}, { stopTimeout: 60_000, closeTimeout: 12_000 });

  it('waits a quarter of closeTimeout for the device, and ends no thread by force', async () => {
    await holding(bench(), 'drop');
    await bench().daemon.close();
    expect(bench().logger.find('ring stopped without the device')).toBeDefined();
    expect(bench().logger.find('process ended')).toBeUndefined();
  });
});
