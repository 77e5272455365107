import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import process from 'node:process';
import { DispatchPool, DispatchThread, MAX_DISPATCH_THREADS } from '@node-vmm/vm-dispatch';
import { KillableThreads } from '@node-vmm/vm-dispatch/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterAll, describe, expect, it } from 'vitest';

const ENTRY = new URL('../../dist/thread/entry.js', import.meta.url);
/** Of two threads that are started one after the other, one runs. */
const EVERY_OTHER = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { threadId } from 'node:worker_threads';
    if (threadId % 2 === 0) throw new Error('not this one');
    await import('${ENTRY.href}');
  `)}`,
);
/** Of a kind of which Node makes no thread. */
const REFUSED = new URL('https://example.org/entry.js');
const MISSING = new URL('file:///nowhere/entry.js');

/** Descriptors of this process that are anonymous inodes of a kind. */
function open(kind: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === `anon_inode:${kind}`;
    } catch {
      // That of the listing itself.
      return false;
    }
  }).length;
}

describe('When dispatch threads end', () => {
  const poller = new MainPoller();
  afterAll(() => poller.close());

  it('nothing that was made for them is left', async () => {
    const threads = 4;
    const kinds = ['[eventpoll]', '[eventfd]', '[timerfd]'] as const;
    const all = (): readonly number[] => kinds.map(open);
    const one = async (): Promise<void> => {
      const thread = await DispatchThread.start({ poller });
      thread.close();
      await thread.ended;
    };
    await one();
    const before = all();
    const listeners = process.listenerCount('exit');
    for (let i = 0; i < threads; i++) await one();
    expect(all()).toEqual(before);
    expect(process.listenerCount('exit')).toBe(listeners);
    expect(poller.size).toBe(0);
  });

  it('nothing is left of those that are killed, which run none of their own last words', async () => {
    const kinds = ['[eventpoll]', '[eventfd]', '[timerfd]'] as const;
    const timers = (): number => readFileSync('/proc/self/timers', 'utf8').split('ID:').length - 1;
    const all = (): readonly number[] => [...kinds.map(open), timers()];
    using threads = new KillableThreads();
    const one = async (): Promise<void> => {
      const thread = await DispatchThread.start({ poller });
      expect(timers()).toBeGreaterThan(0);
      const killed = threads.kill();
      // It blocks, and dies when it is woken.
      thread.close();
      await killed;
      await thread.ended;
    };
    await one();
    const before = all();
    for (let i = 0; i < 4; i++) await one();
    expect(all()).toEqual(before);
    expect(poller.size).toBe(0);
  });

  it('a pool of which one thread cannot run has none', async () => {
    const logger = new MemoryLogger();
    const before = process.listenerCount('exit');
    await expect(
      DispatchPool.start({ poller, logger }, { threads: 4, threadModule: EVERY_OTHER }),
    ).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
    expect(logger.saying('a dispatch thread has ended')).toHaveLength(2);
    // The others were ended, too.
    expect(process.listenerCount('exit')).toBe(before);
    expect(poller.size).toBe(0);
  });

  it('as many as there may be are tried', async () => {
    const options = { threads: MAX_DISPATCH_THREADS, threadModule: MISSING };
    const before = open('[eventfd]');
    await expect(DispatchPool.start({ poller }, options)).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      message: expect.stringMatching(/is not there/),
    });
    expect(open('[eventfd]')).toBe(before);
  });

  it('and one cannot even be made, nothing is left either', async () => {
    const kinds = ['[eventpoll]', '[eventfd]'] as const;
    const before = kinds.map(open);
    const listeners = process.listenerCount('exit');
    for (let i = 0; i < 4; i++) {
      await expect(
        DispatchThread.start({ poller }, { name: 'one', threadModule: REFUSED }),
      ).rejects.toMatchObject({
        code: 'NOT_SUPPORTED',
        message: expect.stringMatching(/^Cannot start dispatch thread one: .*URL/),
      });
    }
    expect(kinds.map(open)).toEqual(before);
    expect(process.listenerCount('exit')).toBe(listeners);
    expect(poller.size).toBe(0);
  });
});
