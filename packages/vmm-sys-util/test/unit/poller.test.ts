import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asFd, closeFd, EventFd, MainPoller, openFd } from '../../src/index.ts';

const SCRIPT = fileURLToPath(new URL('../fixtures/poller-process.mjs', import.meta.url));

/** What a process of its own prints: everything that depends on nothing else keeping the loop busy. */
async function run(what: string): Promise<string> {
  const child = spawn(process.execPath, ['--expose-gc', SCRIPT, what], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return text(child.stdout);
}

/** One whole turn of the loop. */
async function turn(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe('MainPoller', () => {
  let poller: MainPoller;
  let first: EventFd;
  let second: EventFd;
  beforeEach(() => {
    poller = new MainPoller();
    first = EventFd.create();
    second = EventFd.create();
  });
  afterEach(() => {
    poller.close();
    first.close();
    second.close();
  });

  it('continues a promise that a callback resolves, when nothing else happens', async () => {
    expect(await run('promise')).toBe('resolved\ncontinued\n');
  });

  it('fires for a watch that nobody holds, after any collection', async () => {
    expect(await run('collected')).toBe('fired\nupdated\n');
  });

  it('turns what a callback throws into an uncaught exception, and goes on', async () => {
    expect(await run('throw')).toBe('uncaught: of a callback\nother\nagain\n');
  });

  it('runs the promises of one callback before the next callback, in the order of events', async () => {
    const seen: string[] = [];
    const done = new Promise<void>((resolve) => {
      for (const [name, event] of [
        ['second', second],
        ['first', first],
      ] as const) {
        poller.watch(event.fd, { readable: true }, () => {
          event.drain();
          seen.push(name);
          void Promise.resolve().then(() => {
            seen.push(`${name} continued`);
            if (seen.length === 4) resolve();
          });
        });
      }
    });
    // The watches begin before the events do: epoll reports by the order of becoming ready.
    await turn();
    first.signal();
    second.signal();
    await done;
    expect(seen).toEqual(['first', 'first continued', 'second', 'second continued']);
  });

  it('forgets an event when another is waited for meanwhile', async () => {
    const seen: string[] = [];
    const done = new Promise<void>((resolve) => {
      poller.watch(first.fd, { readable: true }, () => {
        first.drain();
        seen.push('first');
        watch.update({ writable: true });
      });
      const watch = poller.watch(second.fd, { readable: true }, (ready) => {
        seen.push(ready.readable ? 'readable' : 'writable');
        watch.close();
        resolve();
      });
    });
    await turn();
    first.signal();
    second.signal();
    await done;
    expect(seen).toEqual(['first', 'writable']);
  });

  it('tells of a broken descriptor for as long as it is broken, and goes on once it is not', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'poller-'));
    const path = join(dir, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    const seen: string[] = [];
    const watch = poller.watch(asFd(writer), { readable: true }, ({ disconnected }) => {
      seen.push(disconnected ? 'broken' : 'whole');
    });
    try {
      // Without a reader: EPOLLERR.
      closeSync(reader);
      await expect.poll(() => seen.length, { timeout: 15_000 }).toBeGreaterThan(2);
      const again = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      for (let i = 0; i < 3; i++) await turn();
      const broken = seen.length;
      for (let i = 0; i < 20; i++) await turn();
      expect(seen).toHaveLength(broken);
      expect(new Set(seen)).toEqual(new Set(['broken']));
      watch.update({ writable: true });
      await expect.poll(() => seen.at(-1), { timeout: 15_000 }).toBe('whole');
      watch.update({ readable: true });
      closeSync(again);
      await expect.poll(() => seen.at(-1), { timeout: 15_000 }).toBe('broken');
    } finally {
      watch.close();
      closeSync(writer);
      rmSync(dir, { recursive: true });
    }
  });

  it('leaves a broken descriptor alone that its owner closed before the watch', async () => {
    expect(await run('closed')).toBe('broken\nended\n');
  });

  it('refuses a descriptor that cannot be polled, is not open or is watched already', () => {
    const file = openFd('/proc/self/status', 'r');
    expect(() => poller.watch(file, { readable: true }, () => {})).toThrow(/EPERM/);
    closeFd(file);
    expect(() => poller.watch(asFd(99_999), { readable: true }, () => {})).toThrow(/EBADF/);
    poller.watch(first.fd, { readable: true }, () => {});
    expect(() => poller.watch(first.fd, { readable: true }, () => {})).toThrow(/EEXIST/);
    expect(poller.size).toBe(1);
  });
});
