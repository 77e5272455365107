import { readdirSync } from 'node:fs';
import type { HostedGuest } from '@node-vmm/ioreq-eventfd';
import { Completion } from '@node-vmm/vm-device';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestMemory } from '../../src/guest-memory.ts';
import type { ToThread } from '../../src/protocol.ts';
import { ThreadSeat } from '../../src/thread-seat.ts';

const MATCH = { guestAddr: 0x50n, length: 4 } as const;
const RANGE = { space: 'memory', base: 0x1000n, length: 0x200 } as const;

const openFds = (): number => readdirSync('/proc/self/fd').length;

/** The thread's part is this test's. */
describe("A guest's seat, as the main thread has it", () => {
  let posted: ToThread[];
  let seat: ThreadSeat;
  let lent: SharedArrayBuffer[];
  let gone: number;
  let flushed: () => void;

  beforeEach(() => {
    posted = [];
    lent = [];
    gone = 0;
    flushed = () => undefined;
    const guest: HostedGuest = {
      name: 'guest',
      // Never looked at on this side.
      page: { pointer: 0n, length: 0 } as never,
      vcpus: 1,
      ends: { kind: 'eventfds', vcpus: [], lines: [] },
      spaces: [],
      answerLimit: 1000,
      carrierOf: () => 'message',
      server: { run: () => undefined },
      invalidate: () => {
        throw new Error('no memory is known');
      },
      gone: () => gone++,
    };
    seat = new ThreadSeat(guest);
    seat.attach({
      id: 5,
      post: (message) => posted.push(message),
      lend: (memory) => lent.push(memory),
      flush: () => flushed(),
      onReleased: () => undefined,
      onStuck: () => undefined,
    });
  });
  afterEach(() => seat.gone());

  /** As the thread does when it has let go. */
  const release = (): void => new GuestMemory(lent[0]).release();
  /** The descriptor that the thread was given last. */
  const given = (): EventFd['fd'] => {
    const last = posted.at(-1);
    if (last?.type !== 'ioeventfd') throw new Error('no wiring');
    return last.fd;
  };
  const isOpen = (fd: EventFd['fd']): boolean => {
    try {
      EventFd.fromFd(fd).signal();
      return true;
    } catch {
      return false;
    }
  };

  it('has nobody wait for a pause that will not come', async () => {
    const closed = seat.pause();
    release();
    seat.close(() => undefined);
    await closed;
    await seat.pause();
    expect(posted.map(({ type }) => type)).toEqual(['attach', 'resume', 'pause', 'detach']);
  });

  it('has nobody wait for the pause of a thread that has ended', async () => {
    const paused = seat.pause();
    seat.gone();
    await paused;
    await seat.pause();
    // Another process may be to have the guest: nobody answers it before that does not come.
    expect(gone).toBe(0);
    seat.resume();
    seat.resume();
    expect(gone).toBe(1);
  });

  it('tells its guest of the end of a thread unless that has left', () => {
    release();
    seat.close(() => undefined);
    seat.gone();
    expect(gone).toBe(0);
  });

  it('closes the descriptor of a wiring when the thread has undone it, and not before', () => {
    using eventfd = EventFd.create();
    const unwire = seat.ioeventfd(MATCH, eventfd);
    const fd = given();
    unwire();
    expect(isOpen(fd)).toBe(true);
    const last = posted.at(-1);
    if (last?.type !== 'unwire') throw new Error('not said');
    seat.take({ type: 'unwired', guest: 5, wiring: last.wiring });
    expect(isOpen(fd)).toBe(false);
    expect(eventfd.live).toBe(true);
  });

  it('signals for the thread what blocks there, unless its owner has closed it', () => {
    const eventfd = EventFd.create();
    seat.ioeventfd(MATCH, eventfd);
    const last = posted.at(-1);
    if (last?.type !== 'ioeventfd') throw new Error('no wiring');
    seat.take({ type: 'stalled', guest: 5, wiring: last.wiring });
    expect(eventfd.drain()).toBe(true);
    eventfd.close();
    seat.take({ type: 'stalled', guest: 5, wiring: last.wiring });
    seat.take({ type: 'stalled', guest: 5, wiring: last.wiring + 1 });
  });

  it('wires nothing for a thread that has ended', () => {
    using eventfd = EventFd.create();
    seat.gone();
    const before = [posted.length, openFds()];
    seat.ioeventfd(MATCH, eventfd)();
    expect([posted.length, openFds()]).toEqual(before);
  });

  it.each(['complete', 'fail'] as const)('opens a window whose gate %ss', async (how) => {
    const ready = new Completion();
    seat.map(RANGE, {
      ready: how === 'complete' ? ready : Promise.reject(new Error('no back-end')),
      read: () => 0n,
      write: () => undefined,
    });
    expect(posted.at(-1)).toMatchObject({ type: 'map', gated: true });
    ready.complete();
    await expect.poll(() => posted.at(-1)?.type).toBe('ready');
  });

  it('answers for a guest that gives memory back and whose owner cannot be told', () => {
    seat.take({ type: 'invalidate', guest: 5, id: 9 });
    expect(posted.at(-1)).toEqual({ type: 'answer', guest: 5, id: 9, value: 0n });
  });

  it('goes on sending while it waits for the thread to let go', () => {
    let released = false;
    // What had no room was on the way until now: the thread has not heard that it is to let go.
    flushed = release;
    seat.close(() => {
      released = true;
    });
    expect(released).toBe(true);
  });

  it('leaves a guest to a thread that does not let go until that has ended', () => {
    let released = 0;
    const began = performance.now();
    seat.close(() => released++);
    expect(performance.now() - began).toBeGreaterThan(1900);
    expect(released).toBe(0);
    seat.gone();
    expect(released).toBe(1);
  });
});
