import { beforeEach, describe, expect, it } from 'vitest';
import type { ServedDevice } from '../../src/index.ts';
import { useBench } from '../bench.ts';

const COMMANDS = new URL('../fixtures/commands-device.mjs', import.meta.url);

interface Numbered {
  readonly n: number;
  readonly lost?: number;
}

describe('Events of a device', () => {
  const bench = useBench({}, { workers: 2, onDeviceFailed: () => undefined });
  let device: ServedDevice;
  let events: object[];
  const add = (options: object = {}, spec: object = {}): Promise<ServedDevice> =>
    bench().addDevice(options, { name: 'eventful', module: COMMANDS, ...spec });
  beforeEach(async () => {
    device = await add();
    events = [];
  });

  it('come to all who listen, in order, before the answer to what caused them', async () => {
    const others: object[] = [];
    device.onEvent((event) => events.push(event));
    device.onEvent((event) => others.push(event));
    await device.command(['emit', '3']);
    expect(events).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
    expect(others).toEqual(events);
    expect(others[0]).not.toBe(events[0]);
  });

  it('come to nobody who has stopped to listen', async () => {
    const listener = (event: object): void => void events.push(event);
    const twice = [device.onEvent(listener), device.onEvent(listener)];
    await device.command(['emit', '1']);
    expect(events).toHaveLength(2);
    twice[0]?.[Symbol.dispose]();
    twice[0]?.[Symbol.dispose]();
    await device.command(['emit', '1']);
    expect(events).toHaveLength(3);
    twice[1]?.[Symbol.dispose]();
    await device.command(['emit', '1']);
    expect(events).toHaveLength(3);
  });

  it('that nobody takes in time are counted, a million of them too', async () => {
    device.onEvent((event) => events.push(event));
    await device.command(['emit', '1000000']);
    await device.command(['emit', '1']);
    const told = (events as Numbered[]).reduce((sum, { lost = 0 }) => sum + 1 + lost, 0);
    expect(told).toBe(1_000_001);
  });

  it('of 64 KiB and more are the failure of the device', async () => {
    device.onEvent(() => undefined);
    await expect(device.command(['emit', '1', 'x'.repeat(70)])).rejects.toThrow('over 65536');
  });

  it('that nobody listened for are not lost', async () => {
    await device.command(['emit', '5000']);
    device.onEvent((event) => events.push(event));
    await device.command(['emit', '1']);
    expect(events).toEqual([{ n: 0 }]);
  });

  it('come from every instance and from one that is made again, and say that it failed', async () => {
    const spec = { queueWorkers: 2, restart: { firstDelay: 1 } };
    const many = await add({ queues: [64, 64], emits: true }, spec);
    many.onEvent((event) => events.push(event));
    await expect(many.command(['throw'])).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
    await expect
      .poll(() => events, { timeout: 45_000 })
      .toEqual([
        { event: 'failed', error: expect.stringContaining('thrown by'), restarting: true },
        { made: 0 },
        { made: 1 },
        { event: 'made again' },
      ]);
  });

  it('come from a device that serves a guest', async () => {
    device.onEvent((event) => events.push(event));
    const { frontEnd, ring } = await bench().running(device);
    ring.submit([1, 2]);
    await ring.collect(frontEnd.poller, 1);
    // The answer goes from the worker to the guest, the event to this thread: each its own way.
    await expect.poll(() => events, { timeout: 45_000 }).toEqual([{ served: 0 }]);
  });
});
