import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { geteuid } from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { closeFds } from '@node-vmm/vmm-sys-util';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceSpec, ServedDevice } from '../../src/index.ts';
import { negotiate, Sockets } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

const COMMANDS = new URL('../fixtures/commands-device.mjs', import.meta.url);
const SCRIPT = fileURLToPath(new URL('../fixtures/state-process.mjs', import.meta.url));
const ROOT = geteuid?.() === 0;
/** Where the device's bytes begin. */
const HEADER = 128;

describe('The state of a device', () => {
  const bench = useBench({}, { workers: 2, onDeviceFailed: () => undefined });
  let statePath: string;
  const add = (options: object = {}, spec: Partial<DeviceSpec> = {}): Promise<ServedDevice> =>
    bench().addDevice(options, { name: 'counting', module: COMMANDS, statePath, ...spec });
  beforeEach(() => {
    statePath = join(bench().sockets.directory, 'counting.state');
  });

  /** Serves the device, has it count once, and closes it. */
  async function count(options: object = {}, spec: Partial<DeviceSpec> = {}): Promise<unknown> {
    const device = await add(options, spec);
    const answer = await device.command(['count']);
    await device.close();
    return answer;
  }

  const FIRST = { fresh: true, count: 1, size: 8 };

  it("is there for the next daemon, in a file that is the process's alone", async () => {
    expect(await count()).toEqual(FIRST);
    expect(await count()).toEqual({ fresh: false, count: 2, size: 8 });
    const { mode, size } = statSync(statePath);
    expect(mode & 0o7777).toBe(0o600);
    expect(size).toBe(HEADER + 8);
    // A disposal may still write to it.
    expect([...readFileSync(statePath).subarray(HEADER)]).toEqual([2, 2, 0, 0, 0, 0, 0, 0]);
  });

  it('is none without a file, and in instances but the first', async () => {
    const device = await bench().addDevice({}, { name: 'none', module: COMMANDS });
    await expect(device.command(['count'])).rejects.toThrow(/undefined/);
    const many = await add({ queues: [64, 64] }, { queueWorkers: 2 });
    expect(await many.command(['count'])).toEqual(FIRST);
  });

  it('is the same however often it is asked for, and one', async () => {
    const device = await add();
    expect(await device.command(['again', 'count-1', '8'])).toEqual({ same: true });
    await expect(device.command(['again', 'count-1', '16'])).rejects.toThrow(
      'Cannot have state "count-1": there is "count-1" already',
    );
  });

  it.each([
    ['', 8],
    ['x'.repeat(65), 8],
    ['a b', 8],
    ['count-1', 0],
    ['count-1', 1.5],
    ['count-1', 1024 * 1024 + 1],
  ])('cannot be of layout "%s" and %d bytes', async (layout, size) => {
    await expect(add({ layout, size })).rejects.toMatchObject({ code: 'INVALID_DEVICE' });
    await expect(add({ layout, size })).rejects.toThrow(/expected 1\.\./);
  });

  it('may be 1 MiB', async () => {
    const options = { size: 1024 * 1024 };
    await count(options);
    expect(await count(options)).toEqual({ fresh: false, count: 2, size: 1024 * 1024 });
  });

  it('that is new refuses a record of requests in flight which another process began', async () => {
    const wish = { mmapSize: 0n, mmapOffset: 0n, numQueues: 1, queueSize: 64 };
    const device = await add();
    /** @returns the answer to an area with that as its first byte */
    const give = async (first: number, uses = false): Promise<number> => {
      const frontEnd = bench().connect(device);
      await negotiate(frontEnd, bench().guest);
      const { payload, fds } = await frontEnd.askForFds('VHOST_USER_GET_INFLIGHT_FD', wish);
      writeSync(fds[0] as number, Uint8Array.of(first), 0, 1, 8);
      const answer = await frontEnd.tell('VHOST_USER_SET_INFLIGHT_FD', payload, fds);
      closeFds(fds);
      if (uses) {
        const ring = bench().ring();
        ring.setUp(frontEnd);
        expect(await ring.enable(frontEnd)).toBe(0);
      }
      frontEnd.close();
      return answer;
    };
    expect(await give(1)).toBe(1);
    expect(bench().logger.saying('state file, which is new or was removed')).toHaveLength(1);
    // One that is of no process yet.
    expect(await give(0)).toBe(0);
    expect(await give(1)).toBe(1);
    expect(await give(0, true)).toBe(0);
    expect(await give(1)).toBe(0);
    await device.close();
    // The next process has what this one had.
    const next = await add();
    const frontEnd = bench().connect(next);
    await negotiate(frontEnd, bench().guest);
    const { payload, fds } = await frontEnd.askForFds('VHOST_USER_GET_INFLIGHT_FD', wish);
    writeSync(fds[0] as number, Uint8Array.of(1), 0, 1, 8);
    expect(await frontEnd.tell('VHOST_USER_SET_INFLIGHT_FD', payload, fds)).toBe(0);
    closeFds(fds);
  });

  it.each([
    ['another layout', () => undefined, { layout: 'count-2' }],
    ['a larger size', () => undefined, { size: 4096 }],
    ['a smaller size', () => undefined, { size: 4 }],
    ['a file cut short', () => truncateSync(statePath, HEADER + 7), {}],
    ['a file cut in its header', () => truncateSync(statePath, 20), {}],
    ['an empty file', () => truncateSync(statePath, 0), {}],
    ['a longer file', () => truncateSync(statePath, HEADER + 9), {}],
    ['a file of another program', () => writeFileSync(statePath, 'x'.repeat(HEADER + 8)), {}],
  ])('is zeros and fresh with %s', async (_, change, options) => {
    await count();
    change();
    const { fresh, count: counted } = (await count(options)) as typeof FIRST;
    expect({ fresh, counted }).toEqual({ fresh: true, counted: 1 });
    expect(await count(options)).toMatchObject({ fresh: false, count: 2 });
  });

  it('is zeros and fresh with any bit of its header changed', async () => {
    await count();
    const whole = readFileSync(statePath);
    for (let bit = 0; bit < HEADER * 8; bit += 101) {
      const bad = Buffer.from(whole);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(statePath, bad);
      expect(await count()).toEqual(FIRST);
    }
  }, 120_000);

  it('outlives the failure of the device', async () => {
    const device = await add({}, { restart: { firstDelay: 1 } });
    expect(await device.command(['count'])).toEqual(FIRST);
    await expect(device.command(['throw'])).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
    await expect
      .poll(() => device.command(['count']).catch(() => undefined), { timeout: 45_000 })
      .toEqual({ fresh: false, count: 2, size: 8 });
  });

  it('outlives the worker of the device', async () => {
    await bench().device.close();
    const device = await add({}, { restart: { firstDelay: 1 } });
    expect(await device.command(['count'])).toEqual(FIRST);
    await expect(device.command(['loop'])).rejects.toMatchObject({ code: 'DEVICE_HANGS' });
    await expect
      .poll(() => device.command(['count']).catch(() => undefined), { timeout: 45_000 })
      .toEqual({ fresh: false, count: 2, size: 8 });
  });

  it("is one device's at a time", async () => {
    const device = await add();
    await expect(add({}, { name: 'second' })).rejects.toMatchObject({
      code: 'STATE_FILE',
      context: { device: 'second', path: statePath },
      message: `Cannot use state file ${statePath} for device second: another process or device has it; give each a file of its own`,
    });
    // The other's is untouched.
    expect(await device.command(['count'])).toEqual(FIRST);
    await device.close();
    expect(await count()).toMatchObject({ count: 2 });
  });

  it.each([
    ['a directory', () => mkdirSync(statePath), /EISDIR/],
    ['a pipe', () => execFileSync('mkfifo', [statePath]), /no regular file/],
    ['a link', () => symlinkSync('/etc/passwd', statePath), /ELOOP/],
    [
      'nothing, in no directory',
      () => {
        statePath += '/none/x';
      },
      /ENOENT/,
    ],
    [
      'a file with another name',
      () => {
        writeFileSync(`${statePath}.other`, 'precious');
        linkSync(`${statePath}.other`, statePath);
      },
      /another name elsewhere/,
    ],
  ])('cannot be %s', async (_, make, text) => {
    make();
    const adding = add();
    await expect(adding).rejects.toMatchObject({ code: 'STATE_FILE' });
    await expect(adding).rejects.toThrow(text);
  });

  it.runIf(ROOT)("cannot be another user's file, but the owner's to be", async () => {
    writeFileSync(statePath, '');
    chownSync(statePath, 1234, 1234);
    await expect(add()).rejects.toThrow(/belongs to user 1234; remove it/);
    await expect(add({}, { stateOwner: { uid: 7, gid: 7 } })).rejects.toThrow(/user 1234/);
    expect(await count({}, { stateOwner: { uid: 1234, gid: 77 } })).toEqual(FIRST);
    expect(statSync(statePath)).toMatchObject({ uid: 1234, gid: 77 });
  });

  it('is closed to others even where somebody had opened it', async () => {
    await count();
    chmodSync(statePath, 0o666);
    await count();
    expect(statSync(statePath).mode & 0o777).toBe(0o600);
  });
});

describe('A daemon with a state file', { timeout: 120_000 }, () => {
  const sockets = new Sockets();
  const statePath = join(sockets.directory, 'x.state');
  const children: ChildProcess[] = [];
  afterEach(async () => {
    // The file is its next owner's when the process has gone.
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
  afterAll(() => sockets.close());

  class Program {
    readonly child: ChildProcess;
    readonly #lines: AsyncIterator<string>;
    constructor(layout = 'count-1') {
      const args = [SCRIPT, sockets.path(), statePath, layout, '8'];
      this.child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      children.push(this.child);
      this.#lines = createInterface(this.child.stdout!)[Symbol.asyncIterator]();
    }
    /** What it says next. */
    async line(): Promise<unknown> {
      return JSON.parse((await this.#lines.next()).value);
    }
    async ask(...words: string[]): Promise<unknown> {
      this.child.stdin!.write(`${JSON.stringify(words)}\n`);
      return this.line();
    }
    async kill(): Promise<void> {
      this.child.kill('SIGKILL');
      await once(this.child, 'exit');
    }
  }

  it('loses nothing by SIGKILL, whose successor may start at once', async () => {
    const first = new Program();
    expect(await first.ask('count')).toEqual({ fresh: true, count: 1, size: 8 });
    for (let n = 2; n < 100; n++) expect(await first.ask('count')).toMatchObject({ count: n });
    await first.kill();
    const second = new Program();
    expect(await second.ask('count')).toEqual({ fresh: false, count: 100, size: 8 });
    await second.kill();
    expect(await new Program('count-2').ask('count')).toMatchObject({ fresh: true, count: 1 });
  });

  it('refuses that of another process', async () => {
    const first = new Program();
    await first.ask('count');
    const second = new Program();
    expect(await second.line()).toMatchObject({
      code: 'STATE_FILE',
      message: expect.stringContaining('another process or device has it'),
    });
    expect(await first.ask('count')).toMatchObject({ count: expect.any(Number) });
  });
});
