import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { Bridge, type DeviceSink, type DeviceSource, FixedSockets } from '@node-vmm/vhost-bridge';
import type { EndSignal, Program } from '@node-vmm/vhost-device-cli';
import { MainPoller, silentLogger, UnixDatagram } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { serveDevices } from '../../src/serve-devices.ts';
import { TempDir } from '../support.ts';

const PATIENCE = { timeout: 45_000 };
const DEVICE = { key: '1/0', guest: 1, deviceId: 4, base: 0x200_0000n, irq: 33 };

let dir: TempDir;
let poller: MainPoller;
let bridge: Bridge;
let manager: UnixDatagram;
let heard: string[];
let end: (signal: EndSignal) => void;
let goAway: (error: Error | undefined) => void;
let complaints: string[];
let program: Program;
let gone: Promise<Error | undefined>;

beforeEach(() => {
  dir = new TempDir();
  poller = new MainPoller();
  manager = UnixDatagram.bind(dir.join('notify'));
  heard = [];
  complaints = [];
  const ended = new Promise<EndSignal>((resolve) => {
    end = resolve;
  });
  gone = new Promise((resolve) => {
    goAway = resolve;
  });
  program = {
    signals: { ended },
    complain: (text: string) => complaints.push(text),
  } as unknown as Program;
  const vm = SimulatedVm.create({ poller });
  bridge = new Bridge({
    attachVm: () => ({ vm, memory: Promise.resolve(vm.memory) }),
    sockets: new FixedSockets(new Map([['rng', dir.join('rng.sock')]])),
    holdMs: 1,
    poller,
    logger: silentLogger,
  });
  vi.stubEnv('NOTIFY_SOCKET', dir.join('notify'));
  vi.stubEnv('WATCHDOG_USEC', '20000');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await bridge.close();
  manager.close();
  poller.close();
  dir[Symbol.dispose]();
});

const listen = (): string[] => {
  for (;;) {
    const message = manager.receive();
    if (message === undefined) return heard;
    heard.push(Buffer.from(message).toString());
  }
};
const source = (
  start: (sink: DeviceSink) => Promise<void> = async () => undefined,
): DeviceSource => ({
  start,
  close: async () => undefined,
});

describe('what a service manager hears of the bridge', () => {
  it('is READY=1 when no announcement can be missed any more, and nothing before', async () => {
    let started: () => void = () => undefined;
    const start = (): Promise<void> =>
      new Promise((resolve) => {
        started = resolve;
      });
    const served = serveDevices({ bridge, source: source(start), gone }, program, silentLogger);
    // It has been found, which is before the source is started.
    await vi.waitFor(() => expect(process.env['NOTIFY_SOCKET']).toBeUndefined(), PATIENCE);
    expect(process.env['WATCHDOG_USEC']).toBeUndefined();
    expect(listen()).toEqual([]);
    started();
    await expect.poll(listen, PATIENCE).toContain('READY=1\nSTATUS=0 devices, 0 guests');
    end('SIGTERM');
    expect(await served).toBe(0);
  });

  it('is WATCHDOG=1 again and again, how many devices there are, and STOPPING=1 at last', async () => {
    const served = serveDevices({ bridge, source: source(), gone }, program, silentLogger);
    const ticks = (): number => listen().filter((text) => text === 'WATCHDOG=1').length;
    await expect.poll(ticks, PATIENCE).toBeGreaterThan(2);
    const added = bridge.add(DEVICE);
    await expect.poll(listen, PATIENCE).toContain('STATUS=1 devices, 1 guests');
    await bridge.remove(DEVICE.key);
    await added.catch(() => undefined);
    await expect.poll(listen, PATIENCE).toContain('STATUS=0 devices, 0 guests');
    end('SIGTERM');
    expect(await served).toBe(0);
    expect(listen().at(-1)).toBe('STOPPING=1\nSTATUS=ending');
    expect(complaints).toEqual([]);
  });

  it('is STOPPING=1 also when the xenstore is gone, which is a failure', async () => {
    const served = serveDevices({ bridge, source: source(), gone }, program, silentLogger);
    goAway(new Error('the xenstore broke'));
    expect(await served).toBe(1);
    expect(listen().at(-1)).toBe('STOPPING=1\nSTATUS=ending');
    expect(complaints).toEqual(['the xenstore broke; start again when xenstored is back']);
  });

  it('is nothing where devices cannot be found at all', async () => {
    const broken = source(() => Promise.reject(new Error('no watch')));
    await expect(
      serveDevices({ bridge, source: broken, gone }, program, silentLogger),
    ).rejects.toThrow('no watch');
    expect(listen()).toEqual([]);
  });
});
