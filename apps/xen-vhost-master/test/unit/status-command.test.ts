// The built programs: `status` asks a bridge in another process.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { silentLogger } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openBridgeControl } from '../../src/bridge-control.ts';
import { TempDir } from '../support.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const PROGRAM = path('../../dist/main.js');
const BRIDGE = path('../fixtures/simulated-bridge.mjs');
const RNG = path('../../../../packages/vhost-device-rng/dist/main.js');
const PATIENCE = { timeout: 60_000 };
const NOTHING = { guests: [], devices: [], backends: [] };

let dir: TempDir;
let started: ChildProcess[];
beforeEach(() => {
  dir = new TempDir();
  started = [];
});
afterEach(async () => {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const closed = new Promise((resolve) => child.on('close', resolve));
    child.kill();
    await closed;
  }
  dir[Symbol.dispose]();
});

interface Running {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly ended: Promise<number | null>;
}

function start(...argv: string[]): Running {
  const child = spawn(execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, output: () => output, ended };
}

const status = (...words: string[]) =>
  spawnSync(execPath, [PROGRAM, 'status', ...words], { encoding: 'utf8' });

describe('xen-vhost-master status', { timeout: 180_000 }, () => {
  it('shows what a bridge serves, as tables and as JSON', async () => {
    const control = dir.join('control');
    const spawned = `rng=${execPath} ${RNG}`;
    const bridge = start(BRIDGE, '--spawn', spawned, '--control-socket', control);
    await expect.poll(bridge.output, PATIENCE).toContain('"device up"');
    expect(statSync(control).mode & 0o777).toBe(0o600);

    const tables = status('--control-socket', control);
    expect(tables).toMatchObject({ status: 0, stderr: '' });
    expect(tables.stdout).toMatch(/^1 guest, 1 device\n/);
    expect(tables.stdout).toMatch(/^1 +\S+ +rng +0x2000000 +33 +up +\/\S+ /m);

    const json = status('--control-socket', control, '--json');
    expect(json).toMatchObject({ status: 0, stderr: '' });
    expect(json.stdout.split('\n')).toHaveLength(2);
    expect(JSON.parse(json.stdout)).toMatchObject({
      guests: [{ guest: 1, devices: 1 }],
      devices: [{ guest: 1, type: 'rng', irq: 33, state: 'up', backend: 'connected', queues: [] }],
      backends: [{ pid: expect.any(Number) }],
    });

    const watching = start(PROGRAM, 'status', '--watch', '--control-socket', control);
    await expect.poll(watching.output, PATIENCE).toMatch(/rng +0x2000000 +33 +up +\/\S+ /);
    const { backends } = JSON.parse(json.stdout) as { backends: { pid: number }[] };
    process.kill(backends[0]?.pid ?? 0, 'SIGKILL');
    // Its next incarnation has another number.
    await expect
      .poll(() => watching.output().split('1 guest, 1 device').length, PATIENCE)
      .toBeGreaterThan(2);
    watching.child.kill('SIGTERM');
    expect(await watching.ended).toBe(0);

    bridge.child.kill('SIGTERM');
    expect(await bridge.ended).toBe(0);
    expect(existsSync(control)).toBe(false);
  });

  it('ends with 1 and one line where no bridge answers', () => {
    const { status: code, stdout, stderr } = status('--control-socket', dir.join('none'));
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^xen-vhost-master: Cannot connect to the control socket [^\n]+\n$/);
  });

  it('ends with 2 and one line after a bad command line', () => {
    for (const words of [['--jsno'], ['more'], ['--control-socket', '']]) {
      const { status: code, stdout, stderr } = status(...words);
      expect({ code, stdout }, `${words}`).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^xen-vhost-master: [^\n]+--help\n$/);
    }
    expect(status('--help').stdout).toMatch(/^Usage: xen-vhost-master status/);
  });

  it('ends when the bridge does', async () => {
    const control = dir.join('control');
    const open = await openBridgeControl(
      { asked: control, stateDir: undefined },
      () => NOTHING,
      silentLogger,
    );
    const watching = start(PROGRAM, 'status', '--watch', '--control-socket', control);
    await expect.poll(watching.output, PATIENCE).toContain('0 guests, 0 devices\n');
    open?.[Symbol.dispose]();
    expect(await watching.ended).toBe(1);
    expect(watching.output()).toContain('Cannot go on with the control socket');
  });
});

describe("the bridge's control socket", () => {
  it('is in the directory in which guests are kept, unless it was told', async () => {
    const place = { asked: undefined, stateDir: dir.path };
    using _control = await openBridgeControl(place, () => NOTHING, silentLogger);
    using client = await ControlClient.connect(dir.join('control'));
    expect(await client.command(['status'])).toEqual(NOTHING);
    await expect(client.command(['stats'])).rejects.toMatchObject({ code: 'USAGE' });
    await expect(client.command(['status', 'all'])).rejects.toMatchObject({ code: 'USAGE' });
    await expect(client.command(['status'], { device: 'i2c0' })).rejects.toMatchObject({
      code: 'USAGE',
    });
    await expect(client.watch()).rejects.toMatchObject({ code: 'USAGE' });
    expect(await client.command(['status'])).toEqual(NOTHING);
  });

  it('is there where no guests are kept, too, and only for one bridge', async () => {
    const place = { asked: undefined, stateDir: dir.join('made') };
    using first = await openBridgeControl(place, () => NOTHING, silentLogger);
    expect(first).toBeDefined();
    expect(statSync(dir.join('made')).mode & 0o777).toBe(0o700);
    expect(await openBridgeControl(place, () => NOTHING, silentLogger)).toBeUndefined();
    using client = await ControlClient.connect(dir.join('made/control'));
    expect(await client.command(['status'])).toEqual(NOTHING);
  });

  it('that cannot be is a warning, unless it was told', async () => {
    const warnings: object[] = [];
    const logger = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
    const gone = dir.join('gone');
    writeFileSync(gone, '');
    expect(
      await openBridgeControl({ asked: undefined, stateDir: gone }, () => NOTHING, logger),
    ).toBeUndefined();
    expect(warnings).toEqual([{ path: `${gone}/control`, reason: expect.any(String) }]);
    await expect(
      openBridgeControl({ asked: `${gone}/c`, stateDir: undefined }, () => NOTHING, logger),
    ).rejects.toMatchObject({ code: 'BAD_DIRECTORY' });
    expect(
      await openBridgeControl({ asked: undefined, stateDir: undefined }, () => NOTHING, logger),
    ).toBeUndefined();
  });
});
