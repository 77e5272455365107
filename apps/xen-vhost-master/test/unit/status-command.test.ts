// The built programs: `status` asks a bridge in another process.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { openStatusSocket } from '@node-vmm/vhost-device-cli';
import { silentLogger } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

function scrape(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get({ socketPath, path: '/metrics' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject);
  });
}

const status = (...words: string[]) =>
  spawnSync(execPath, [PROGRAM, 'status', ...words], { encoding: 'utf8' });

describe('xen-vhost-master status', { timeout: 180_000 }, () => {
  it('shows what a bridge serves, as tables and as JSON', async () => {
    const control = dir.join('control');
    const spawned = `rng=${execPath} ${RNG}`;
    const metrics = dir.join('metrics');
    const places = ['--control-socket', control, '--metrics', metrics];
    const bridge = start(BRIDGE, '--spawn', spawned, ...places);
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
      totals: { counters: expect.any(Object), held: { now: 0 }, devices: expect.any(Object) },
    });

    expect(statSync(metrics).mode & 0o777).toBe(0o600);
    const text = await scrape(metrics);
    expect(text).toContain('\nvhost_bridge_guests 1\n');
    const up = '{type="rng",state="up",backend="connected"} 1';
    expect(text).toContain(`\nvhost_bridge_devices${up}\n`);
    expect(text).toContain('\nvhost_bridge_held_access_seconds_bucket{le="+Inf"} 0\n');

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
    expect(existsSync(metrics)).toBe(false);
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
    const open = await openStatusSocket({ asked: control }, () => NOTHING, silentLogger);
    const watching = start(PROGRAM, 'status', '--watch', '--control-socket', control);
    await expect.poll(watching.output, PATIENCE).toContain('0 guests, 0 devices\n');
    open?.[Symbol.dispose]();
    expect(await watching.ended).toBe(1);
    expect(watching.output()).toContain('Cannot go on with the control socket');
  });
});
