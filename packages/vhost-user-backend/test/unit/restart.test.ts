import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ServedDevice } from '../../src/index.ts';
import { until } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

const FAILS = new URL('../fixtures/fails-device.mjs', import.meta.url);
const THROW = 1;
const LOOP = 2;
const EXIT = 3;
const LONG_MS = 1_000_000;
const AT_ONCE = { firstDelay: 1, maxDelay: 1 };

describe('A device that has failed and is made again', () => {
  const told: string[] = [];
  const onDeviceFailed = ({ name, restarting }: ServedDevice, { code }: { code: string }): void => {
    told.push(`${name} ${code}${restarting ? ' restarting' : ''}`);
  };
  const bench = useBench({}, { onDeviceFailed });
  beforeEach(async () => {
    told.length = 0;
    // Has the worker to itself: the echo device would leave descriptors behind with a thread.
    await bench().device.close();
  });

  async function serves(device: ServedDevice): Promise<void> {
    const { frontEnd, ring } = await bench().running(device);
    ring.submit([0]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
    frontEnd.close();
  }

  async function provoke(device: ServedDevice, command: number): Promise<void> {
    const { frontEnd, ring } = await bench().running(device);
    ring.submit([command]);
    expect(await frontEnd.closed).toBe('peer-closed');
  }

  it.each([
    ['threw', THROW, 'DEVICE_FAILED'],
    ['looped', LOOP, 'DEVICE_HANGS'],
    ['ended its worker', EXIT, 'WORKER_FAILED'],
  ])('because it %s serves whoever waits in its backlog', async (_, command, code) => {
    const spec = { name: 'fails', module: FAILS, restart: { firstDelay: 20 } };
    const device = await bench().addDevice({}, spec);
    await provoke(device, command);
    expect(told).toEqual([`fails ${code} restarting`]);
    await serves(device);
    expect(device.failure).toBeUndefined();
    expect(device.restarting).toBe(false);
    expect(await device.status()).toMatchObject({ connections: 2 });
  });

  it('after another had taken it along, as its own option says', async () => {
    const guilty = await bench().addDevice({}, { name: 'guilty', module: FAILS });
    const restart = { firstDelay: LONG_MS };
    const back = await bench().addDevice({}, { name: 'back', module: FAILS, restart });
    await bench().addDevice({}, { name: 'gone', module: FAILS });
    await provoke(guilty, LOOP);
    expect(told).toEqual([
      'guilty DEVICE_HANGS',
      'back WORKER_FAILED restarting',
      'gone WORKER_FAILED',
    ]);
    // It does not wait for what was not its doing.
    await serves(back);
    expect(bench().daemon.serving).toBe(1);
  });

  it('is tried again when it cannot be made', async () => {
    const unless = join(bench().sockets.directory, 'no-chip');
    const spec = { name: 'fails', module: FAILS, restart: AT_ONCE };
    const device = await bench().addDevice({ unless }, spec);
    writeFileSync(unless, '');
    await provoke(device, THROW);
    await until(() => told.length > 3);
    expect(told.slice(0, 3)).toEqual([
      'fails DEVICE_FAILED restarting',
      'fails INVALID_DEVICE restarting',
      'fails INVALID_DEVICE restarting',
    ]);
    rmSync(unless);
    await serves(device);
  });

  it('but not over and over when each time costs a worker', async () => {
    const restart = { ...AT_ONCE, maxLostWorkers: 1 };
    const device = await bench().addDevice({}, { name: 'fails', module: FAILS, restart });
    await provoke(device, EXIT);
    await provoke(device, EXIT);
    expect(told).toEqual(['fails WORKER_FAILED restarting', 'fails WORKER_FAILED']);
    expect(await device.status()).toMatchObject({ state: 'failed' });
  });

  it('costs a worker by its disposal too', async () => {
    const restart = { ...AT_ONCE, maxLostWorkers: 0 };
    const spec = { name: 'fails', module: FAILS, restart };
    const device = await bench().addDevice({ dispose: 'loop' }, spec);
    await provoke(device, THROW);
    await until(() => told.length === 2);
    expect(told).toEqual(['fails DEVICE_FAILED restarting', 'fails DEVICE_FAILED']);
    expect(bench().logger.find('Symbol.dispose does not come back')).toBeDefined();
  });

  it('may be closed while it waits', async () => {
    const restart = { firstDelay: LONG_MS };
    const device = await bench().addDevice({}, { name: 'fails', module: FAILS, restart });
    await provoke(device, THROW);
    expect(await bench().daemon.status()).toEqual([
      expect.objectContaining({ name: 'fails', state: 'restarting', connections: 1, rings: [] }),
    ]);
    await device.close();
    expect(await bench().daemon.status()).toEqual([]);
  });

  it('may be closed while it is made', async () => {
    const restart = { firstDelay: LONG_MS };
    const adding = bench().addDevice({}, { name: 'fails', module: FAILS, restart });
    const closing = bench().daemon.close();
    await expect(adding).rejects.toMatchObject({ code: 'CLOSED' });
    await closing;
  });

  it('needs delays that can be', async () => {
    const spec = { name: 'fails', module: FAILS };
    for (const restart of [{ firstDelay: 0 }, { maxDelay: 1 }, { maxLostWorkers: 0.5 }]) {
      await expect(bench().addDevice({}, { ...spec, restart })).rejects.toThrow(RangeError);
    }
  });
});
