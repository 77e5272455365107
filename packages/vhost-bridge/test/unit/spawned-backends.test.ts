import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FixedSockets } from '../../src/socket-provider.ts';
import { SpawnedBackends } from '../../src/spawned-backends.ts';
import { deviceById } from '../../src/supported-devices.ts';
import { MemoryLogger, until } from '../../src/testing/index.ts';
import { exists, groupMembers } from '../support/processes.ts';
import { TempDir } from '../support/temp-dir.ts';

const I2C = deviceById(34);

// Notes every start with its arguments, and what signal ended it.
const BACKEND = `
const { appendFileSync, readFileSync } = require('node:fs');
const [log, ...args] = process.argv.slice(2);
process.on('SIGTERM', () => {
  appendFileSync(log, 'SIGTERM\\n');
  process.exit(0);
});
setInterval(() => undefined, 1000);
const stat = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1).split(' ');
appendFileSync(log, JSON.stringify({ pid: process.pid, group: Number(stat[2]), args }) + '\\n');
`;
const KEEPS_SIGTERM = `
const { spawn } = require('node:child_process');
process.on('SIGTERM', () => undefined);
const [program, ...args] = process.argv.slice(2);
spawn(program, args, { stdio: 'inherit' }).on('exit', (code) => process.exit(code ?? 1));
`;
const WRAPPERS = ['nothing', 'a shell script', 'sh -c', 'a program that keeps SIGTERM to itself'];
const NO_SOCKETS = new FixedSockets(new Map());

let dir: TempDir;
let book: MemoryLogger;
let backends: SpawnedBackends;

beforeEach(() => {
  dir = new TempDir();
  book = new MemoryLogger();
  writeFileSync(dir.join('backend.cjs'), BACKEND);
  const command = `${process.execPath} ${dir.join('backend.cjs')} ${dir.join('log')} --more`;
  const fallback = new FixedSockets(new Map([['rng', '/run/rng.sock']]));
  backends = new SpawnedBackends(new Map([['i2c', command]]), fallback, book);
});
afterEach(() => {
  backends.close();
  dir[Symbol.dispose]();
});

function log(): string[] {
  const path = dir.join('log');
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
}

/** The command of the back-end, as it may be wrapped. None of the wrappers is replaced by what it starts. */
function wrapped(wrapper: string): string {
  const command = `${process.execPath} ${dir.join('backend.cjs')} ${dir.join('log')}`;
  switch (wrapper) {
    case 'a shell script':
      writeFileSync(dir.join('wrapper.sh'), `${command} "$@"\necho over\n`);
      return `sh ${dir.join('wrapper.sh')}`;
    case 'sh -c':
      return `sh -c '${command} "$@"; :' sh`;
    case 'a program that keeps SIGTERM to itself':
      writeFileSync(dir.join('wrapper.cjs'), KEEPS_SIGTERM);
      return `${process.execPath} ${dir.join('wrapper.cjs')} ${command}`;
    default:
      return command;
  }
}

/** What becomes of a process that starts a back-end, waits until it runs, and then does something. */
function bridgeThat(does: string, command: string): object {
  const script = `
    import { existsSync } from 'node:fs';
    import { setTimeout as delay } from 'node:timers/promises';
    import { silentLogger } from '@node-vmm/vmm-sys-util';
    import { deviceById, FixedSockets, SpawnedBackends } from '@node-vmm/vhost-bridge';
    const [log, command] = process.argv.slice(1);
    const fallback = new FixedSockets(new Map());
    new SpawnedBackends(new Map([['i2c', command]]), fallback, silentLogger).lease(deviceById(34), '3/0');
    while (!existsSync(log)) await delay(10);
    ${does};`;
  const args = ['--input-type=module', '-e', script, dir.join('log'), command];
  // Not within the test's folder of sources: the package by its own name, built.
  const { status, signal, stderr } = spawnSync(process.execPath, args, {
    cwd: import.meta.dirname,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
    // A back-end that is left would hold the pipe.
    timeout: 60_000,
  });
  return { status, signal, stderr };
}

async function started(count: number): Promise<{ pid: number; group: number; args: string[] }> {
  const starts = (): string[] => log().filter((line) => line.startsWith('{'));
  await until(() => starts().length === count);
  return JSON.parse(starts().at(-1) as string);
}

describe('SpawnedBackends', { timeout: 90_000 }, () => {
  it('starts a back-end with its socket and stops it by SIGTERM, leaving no zombie', async () => {
    const lease = backends.lease(I2C, '3/0');
    const { pid, args } = await started(1);
    const base = lease.path.slice(0, -1);
    expect(args).toEqual(['--more', '--socket-path', base, '--socket-count', '1']);
    expect(lease.path).toMatch(/\/i2c-3-0-0\.sock0$/);
    lease.release();
    lease.release();
    await until(() => !exists(pid));
    expect(log().filter((line) => line === 'SIGTERM')).toHaveLength(1);
    expect(book.saying('starting it again')).toEqual([]);
  });

  it('starts it again at the same socket when it dies', async () => {
    backends.lease(I2C, '3/0');
    const first = await started(1);
    process.kill(first.pid, 'SIGKILL');
    const second = await started(2);
    expect(second.args).toEqual(first.args);
    expect(second.pid).not.toBe(first.pid);
    expect(exists(first.pid)).toBe(false);
    expect(book.saying('starting it again')).toMatchObject([
      { level: 'warn', context: { device: '3/0', signal: 'SIGKILL' } },
    ]);
  });

  it('does not start it again after release, even when it had just died', async () => {
    const lease = backends.lease(I2C, '3/0');
    const { pid } = await started(1);
    process.kill(pid, 'SIGKILL');
    await until(() => book.saying('starting it again').length === 1);
    lease.release();
    const other = backends.lease(I2C, '4/0');
    expect((await started(2)).args).toContain(other.path.slice(0, -1));
  });

  it('never gives a socket twice: its last back-end may still be ending', async () => {
    const first = backends.lease(I2C, '3/0');
    first.release();
    const second = backends.lease(I2C, '3/0');
    expect(second.path).not.toBe(first.path);
  });

  it('leaves other device types to the fallback', () => {
    expect(backends.lease(deviceById(4), '3/1').path).toBe('/run/rng.sock');
    expect(() => backends.lease(deviceById(41), '3/2')).toThrow(/--name gpio/);
  });

  it('stops all of them on close and removes the sockets', async () => {
    const { path } = backends.lease(I2C, '3/0');
    const first = await started(1);
    backends.lease(I2C, '3/1');
    const second = await started(2);
    backends.close();
    expect(existsSync(dirname(path))).toBe(false);
    await until(() => !exists(first.pid) && !exists(second.pid));
  });

  it('gives a back-end a second from its start before it is missed', () => {
    expect(backends.lease(I2C, '3/0').graceMs).toBe(1000);
    expect(backends.lease(deviceById(4), '3/1').graceMs).toBeUndefined();
  });

  it('refuses, before anything is made, where the sockets would have too long paths', () => {
    const deep = dir.join('x'.repeat(90));
    mkdirSync(deep);
    const { TMPDIR } = process.env;
    process.env['TMPDIR'] = deep;
    try {
      expect(() => backends.lease(I2C, '3/0')).toThrow(
        /^Cannot make the socket \S+: its path has \d+ bytes, 107 at most; set TMPDIR to [^\n]+$/,
      );
    } finally {
      if (TMPDIR === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = TMPDIR;
    }
    expect(readdirSync(deep)).toEqual([]);
    expect(backends.status()).toEqual([]);
  });

  it('shows what runs for whom', async () => {
    const { path } = backends.lease(I2C, '3/0');
    const { pid } = await started(1);
    expect(backends.status()).toEqual([{ socket: path, pid }]);
    process.kill(pid, 'SIGKILL');
    await until(() => backends.status()[0]?.pid === undefined);
  });

  it('ends them when the process ends without closing', async () => {
    // As after an unexpected error.
    const ended = bridgeThat('process.exit(1)', wrapped('nothing'));
    expect(ended).toEqual({ status: 1, signal: null, stderr: '' });
    const { pid } = await started(1);
    await until(() => !exists(pid));
    expect(log()).toContain('SIGTERM');
  });

  it.each(WRAPPERS)('ends them when the process is killed: started by %s', async (wrapper) => {
    const ended = bridgeThat("process.kill(process.pid, 'SIGKILL')", wrapped(wrapper));
    expect(ended).toEqual({ status: null, signal: 'SIGKILL', stderr: '' });
    const { pid, group } = await started(1);
    await until(() => !exists(pid));
    expect(log()).toContain('SIGTERM');
    // Nor is a wrapper left, or what watches over it.
    await until(() => groupMembers(group).length === 0);
  });

  it('ends those by SIGKILL that do not end by SIGTERM when the process is killed', async () => {
    writeFileSync(dir.join('backend.cjs'), BACKEND.replace('process.exit(0)', ''));
    bridgeThat("process.kill(process.pid, 'SIGKILL')", wrapped('a shell script'));
    const { pid, group } = await started(1);
    const left = (): boolean => exists(pid) || groupMembers(group).length > 0;
    await expect.poll(left, { timeout: 30_000 }).toBe(false);
    expect(log()).toContain('SIGTERM');
  });

  it.each(WRAPPERS)('stops them when they were started by %s', async (wrapper) => {
    backends.close();
    backends = new SpawnedBackends(new Map([['i2c', wrapped(wrapper)]]), NO_SOCKETS, book);
    const lease = backends.lease(I2C, '3/0');
    const { group } = await started(1);
    expect(backends.status()[0]?.pid).toBe(group);
    lease.release();
    await until(() => groupMembers(group).length === 0);
    expect(log()).toContain('SIGTERM');
  });

  it('ends those that ignore SIGTERM, also when they are stopped as soon as they do', async () => {
    backends.close();
    const ignores = `trap "" TERM; : >${dir.join('ignores')}-$$; while :; do sleep 0.1; done`;
    const command = `/bin/sh -c '${ignores}'`;
    backends = new SpawnedBackends(new Map([['i2c', command]]), NO_SOCKETS, book);
    const groups: number[] = [];
    for (let i = 0; i < 24; i++) {
      const lease = backends.lease(I2C, `${i}/0`);
      const pid = backends.status()[0]?.pid as number;
      while (!existsSync(dir.join(`ignores-${pid}`))) await new Promise(setImmediate);
      lease.release();
      groups.push(pid);
    }
    const left = (): number[] => groups.filter((group) => groupMembers(group).length > 0);
    await expect.poll(left, { timeout: 30_000 }).toEqual([]);
  });

  it('leaves nothing of one whose wrapper died when it starts the next', async () => {
    backends.close();
    backends = new SpawnedBackends(new Map([['i2c', wrapped('a shell script')]]), NO_SOCKETS, book);
    backends.lease(I2C, '3/0');
    const first = await started(1);
    process.kill(first.group, 'SIGKILL');
    const second = await started(2);
    expect(second.args).toEqual(first.args);
    expect(groupMembers(first.group)).toEqual([]);
    expect(log()).toContain('SIGTERM');
  });
});
