import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  closeFds,
  EventFd,
  EventLoop,
  MainPoller,
  type Poller,
  type Readiness,
  UnixStream,
  watchControlPort,
} from '../../src/index.ts';

interface Harness {
  poller: Poller;
  /** Lets pending events be dispatched. */
  turn(): Promise<void>;
  close(): void;
}

const mainHarness = (): Harness => {
  const poller = new MainPoller();
  return {
    poller,
    turn: async () => {
      for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    },
    close: () => poller.close(),
  };
};

const loopHarness = (): Harness => {
  const stop = EventFd.create();
  const loop = new EventLoop(stop);
  return {
    poller: loop,
    turn: async () => loop.turn(0),
    close: () => {
      loop.close();
      stop.close();
    },
  };
};

// One contract, two implementations: the main loop's and the blocking one.
describe.each([
  ['MainPoller', mainHarness],
  ['EventLoop', loopHarness],
] as const)('%s', (_name, make) => {
  let h: Harness;
  let event: EventFd;
  beforeEach(() => {
    h = make();
    event = EventFd.create();
  });
  afterEach(() => {
    h.close();
    event.close();
  });

  it('reports readiness for as long as it lasts', async () => {
    let calls = 0;
    h.poller.watch(event.fd, { readable: true }, (ready) => {
      expect(ready.readable).toBe(true);
      if (++calls === 2) event.drain();
    });
    await h.turn();
    expect(calls).toBe(0);
    event.signal();
    await h.turn();
    await h.turn();
    await h.turn();
    expect(calls).toBe(2);
  });

  it('calls nothing after close, even within the turn', async () => {
    const other = EventFd.create();
    const calls: string[] = [];
    const watches = [event, other].map((e, i, all) =>
      h.poller.watch(e.fd, { readable: true }, () => {
        calls.push(`${i}`);
        for (const w of watches) w.close();
        for (const x of all) x.drain();
      }),
    );
    event.signal();
    other.signal();
    await h.turn();
    event.signal();
    other.signal();
    await h.turn();
    expect(calls).toHaveLength(1);
    other.close();
  });

  it('reports writability when asked and a peer that hangs up', async () => {
    const [a, b] = UnixStream.pair();
    const seen: Readiness[] = [];
    const watch = h.poller.watch(a.fd, { readable: true }, (ready) => {
      seen.push(ready);
      watch.update({});
    });
    watch.update({ readable: true, writable: true });
    await h.turn();
    expect(seen.at(0)?.writable).toBe(true);
    watch.update({ readable: true });
    b.close();
    await h.turn();
    expect(seen.at(-1)?.disconnected).toBe(true);
    watch.close();
    a.close();
  });
});

describe('EventLoop', () => {
  it('runs until stopped and reuses tokens', () => {
    const stop = EventFd.create();
    const loop = new EventLoop(stop);
    const event = EventFd.create(1);
    for (let i = 0; i < 1000; i++) {
      let called = false;
      const watch = loop.watch(event.fd, { readable: true }, () => {
        called = true;
        watch.close();
      });
      loop.turn(0);
      expect(called).toBe(true);
    }
    loop.watch(event.fd, { readable: true }, () => loop.stop());
    loop.run();
    loop.close();
    stop.close();
    closeFds([event.fd]);
  });

  it('reports each signal of an eventfd once, unread, and one from before the watch', () => {
    const stop = EventFd.create();
    const loop = new EventLoop(stop);
    const event = EventFd.create();
    event.signal();
    let calls = 0;
    const watch = loop.watchSignals(event.fd, () => calls++);
    loop.turn(0);
    loop.turn(0);
    expect(calls).toBe(1);
    event.signal();
    loop.turn(0);
    loop.turn(0);
    expect(calls).toBe(2);
    watch.close();
    event.signal();
    loop.turn(0);
    expect(calls).toBe(2);
    loop.close();
    stop.close();
    event.close();
  });

  it('tells by `stopped` those who turn by themselves', () => {
    const stop = EventFd.create();
    const loop = new EventLoop(stop);
    loop.turn(0);
    expect(loop.stopped).toBe(false);
    stop.signal();
    loop.turn(-1);
    expect(loop.stopped).toBe(true);
    loop.close();
    stop.close();
  });

  it('throws from run what a callback throws', () => {
    const stop = EventFd.create();
    const loop = new EventLoop(stop);
    using event = EventFd.create(1);
    loop.watch(event.fd, { readable: true }, () => {
      throw new Error('device failed');
    });
    expect(() => loop.run()).toThrow('device failed');
    loop.close();
    stop.close();
  });

  it('delivers control messages in order to a blocked thread', async () => {
    const stop = EventFd.create();
    using wake = EventFd.create();
    const loop = new EventLoop(stop);
    const { port1, port2 } = new MessageChannel();
    const got: unknown[] = [];
    watchControlPort(loop, port2, wake, (message) => {
      got.push(message);
      if (message === 3) loop.stop();
    });
    for (const n of [1, 2, 3]) {
      port1.postMessage(n);
      wake.signal();
    }
    loop.run();
    expect(got).toEqual([1, 2, 3]);
    port2.postMessage('done');
    expect((await once(port1, 'message'))[0]).toBe('done');
    port1.close();
    loop.close();
    stop.close();
  });
});
