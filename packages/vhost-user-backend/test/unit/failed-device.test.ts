import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServedDevice, VhostUserBackendError } from '../../src/index.ts';
import { FrontEnd, Guest, GuestRing, negotiate, Sockets, until } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

const FAILS = new URL('../fixtures/fails-device.mjs', import.meta.url);
const SCRIPT = fileURLToPath(new URL('../fixtures/unheard-process.mjs', import.meta.url));
const THROW = 1;
const LOOP = 2;
const EXIT = 3;
const HOLD = 4;

describe('A device that fails', () => {
  const told: { device: ServedDevice; error: VhostUserBackendError }[] = [];
  const onDeviceFailed = (device: ServedDevice, error: VhostUserBackendError): void => {
    told.push({ device, error });
  };
  const bench = useBench({}, { onDeviceFailed });
  beforeEach(() => {
    told.length = 0;
  });

  it('is told of, each one, and the daemon goes on', async () => {
    for (const name of ['first', 'second']) {
      const device = await bench().addDevice({}, { name, module: FAILS });
      const { ring } = await bench().running(device);
      ring.submit([THROW]);
      await until(() => told.at(-1)?.device === device);
      expect(told.at(-1)?.error).toMatchObject({
        code: 'DEVICE_FAILED',
        context: { device: name },
      });
      expect(device.failure).toBe(told.at(-1)?.error);
      expect(device.restarting).toBe(false);
    }
    expect(told).toHaveLength(2);
    expect(bench().daemon.serving).toBe(1);
    const { frontEnd, ring } = await bench().running();
    ring.submit([1, 2]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('finds memory closed, not gone, in its disposal', async () => {
    const device = await bench().addDevice({}, { module: FAILS });
    const { frontEnd, ring } = await bench().running(device);
    ring.submit([HOLD]);
    expect(await frontEnd.closed).toBe('peer-closed');
    await device.close();
    const refused = bench().logger.find('device not disposed of');
    expect(String(refused?.context['err'])).toContain('guest memory');
  });

  it('with its worker takes the others there along, but none that comes later', async () => {
    const device = await bench().addDevice({}, { name: 'guilty', module: FAILS });
    const other = await bench().addDevice({}, { name: 'other', module: FAILS });
    await bench().device.close();
    const { ring } = await bench().running(device);
    ring.submit([EXIT]);
    await until(() => told.length === 2);
    expect(told.map(({ device: { name } }) => name)).toEqual(['guilty', 'other']);
    for (const { error } of told) expect(error.code).toBe('WORKER_FAILED');
    expect(other.failure?.message).toContain('by the doing of device guilty');
    const late = await bench().addDevice({}, { module: FAILS });
    const { frontEnd, ring: next } = await bench().running(late);
    next.submit([0]);
    expect(await next.collect(frontEnd.poller, 1)).toEqual([1]);
  });
});

describe('A process that hears of no failure', () => {
  let sockets: Sockets;
  let child: ChildProcess;
  const front: { close(): void }[] = [];
  beforeEach(() => {
    sockets = new Sockets();
  });
  afterEach(() => {
    child.kill('SIGKILL');
    for (const each of front.splice(0)) each.close();
    sockets.close();
  });

  async function start(how: string, ...paths: string[]): Promise<{ code: Promise<unknown> }> {
    child = spawn(process.execPath, [SCRIPT, how, ...paths], { stdio: 'pipe' });
    await once(child.stdout!, 'data');
    return { code: once(child, 'exit').then(([code]) => code) };
  }

  async function provoke(path: string, how: number = THROW): Promise<void> {
    const guest = new Guest();
    const frontEnd = new FrontEnd(path);
    const ring = new GuestRing(guest);
    front.push(frontEnd, ring, guest);
    await negotiate(frontEnd, guest);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    ring.submit([how]);
    expect(await frontEnd.closed).toBe('peer-closed');
  }

  it('has it on standard error, with the stack, and ends with 1 after the last device', async () => {
    const paths = [sockets.path(), sockets.path()];
    const { code } = await start('nothing', ...paths);
    const stderr = text(child.stderr!);
    await provoke(paths[0]!);
    await until(() => !existsSync(paths[0]!));
    expect(child.exitCode).toBeNull();
    await provoke(paths[1]!);
    expect(await code).toBe(1);
    expect(existsSync(paths[1]!)).toBe(false);
    for (const device of ['device0', 'device1']) {
      expect(await stderr).toMatch(
        new RegExp(
          `Cannot go on with device ${device}: thrown\\\\u001b by process.*\\n.*\\n +at .*fails-device`,
        ),
      );
    }
  });

  it('has a loop in process on standard error: which device, and what to look for', async () => {
    const path = sockets.path();
    const { code } = await start('nothing', path);
    const stderr = text(child.stderr!);
    await provoke(path, LOOP);
    expect(await code).toBe(1);
    expect(await stderr).toBe(
      'Cannot go on with device device0: process does not come back; look there for a loop or a wait without end\n',
    );
  });

  it('but waits for it ends as it likes, and with undefined when all is closed', async () => {
    const path = sockets.path();
    const failing = await start('awaits', path);
    const failed = text(child.stdout!);
    await provoke(path);
    expect(await failing.code).toBe(0);
    expect(await failed).toBe('DEVICE_FAILED\n');
    const stopped = await start('awaits', path);
    const stdout = text(child.stdout!);
    child.kill('SIGTERM');
    expect(await stopped.code).toBe(0);
    expect(await stdout).toBe('undefined\n');
  });
});
