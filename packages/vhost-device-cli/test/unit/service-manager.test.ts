import { type Logger, silentLogger, UnixDatagram } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ServiceManager } from '../../src/service-manager.ts';

const PATIENCE = { timeout: 45_000 };

describe('a service manager', () => {
  const socket = `@node-vmm-cli-${process.pid}`;
  let receiver: UnixDatagram;
  let heard: string[];
  let manager: ServiceManager;
  beforeEach(() => {
    receiver = UnixDatagram.bind(socket);
    heard = [];
    manager = new ServiceManager({ socket, watchdogMs: 8 }, silentLogger);
  });
  afterEach(() => {
    manager.close();
    receiver.close();
  });

  const listen = (): string[] => {
    for (;;) {
      const message = receiver.receive();
      if (message === undefined) return heard;
      heard.push(Buffer.from(message).toString());
    }
  };

  it('hears that all is served, how many are, and that the end has begun', () => {
    manager.ready('2 of 2 devices served');
    manager.status('1 of 2 devices served');
    manager.stopping();
    expect(listen()).toEqual([
      'READY=1\nSTATUS=2 of 2 devices served',
      'STATUS=1 of 2 devices served',
      'STOPPING=1\nSTATUS=ending',
    ]);
  });

  it('hears that all is well only while it is, with half of its time to find out', async () => {
    const answers: boolean[] = [];
    let well = false;
    manager.watch(async (timeoutMs) => {
      expect(timeoutMs).toBe(4);
      answers.push(well);
      return well;
    });
    await expect.poll(() => answers.length, PATIENCE).toBeGreaterThan(3);
    expect(listen()).toEqual([]);
    well = true;
    await expect.poll(() => listen().length, PATIENCE).toBeGreaterThan(3);
    expect(new Set(heard)).toEqual(new Set(['WATCHDOG=1']));
  });

  it('hears nothing while the answer does not come, nor of the end after it', async () => {
    let asked = 0;
    let answer: (well: boolean) => void = () => undefined;
    manager.watch(() => {
      asked++;
      return new Promise((resolve) => {
        answer = resolve;
      });
    });
    let turns = 0;
    const timer = setInterval(() => turns++, 2);
    await expect.poll(() => turns, PATIENCE).toBeGreaterThan(10);
    clearInterval(timer);
    expect(asked).toBe(1);
    expect(listen()).toEqual([]);
    manager.stopping();
    answer(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(listen()).toEqual(['STOPPING=1\nSTATUS=ending']);
  });

  it('that is gone is in the log once, and stops nothing', () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (_, message) => warnings.push(message) };
    receiver.close();
    const lonely = new ServiceManager({ socket, watchdogMs: undefined }, logger);
    lonely.ready('x');
    lonely.stopping();
    expect(warnings).toEqual([expect.stringContaining(`NOTIFY_SOCKET ${socket}`)]);
  });

  it('that is not there is not told', () => {
    const nobody = new ServiceManager({ socket: undefined, watchdogMs: 1 }, silentLogger);
    nobody.ready('x');
    nobody.watch(() => Promise.reject(new Error('asked')));
    nobody.stopping();
    expect(listen()).toEqual([]);
  });
});
