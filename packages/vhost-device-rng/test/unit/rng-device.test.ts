import { SysError } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { Rig } from '../support/rig.ts';

const KIB_64 = 0x1_0000;

describe('a source that takes its time', () => {
  it('is asked once for a whole batch, and for what came meanwhile afterwards', () => {
    using rig = new Rig();
    rig.offer(2, 3);
    rig.offer(4);
    expect(rig.source.reads).toEqual([5]);
    rig.source.give();
    expect(rig.queue.completions.map(({ bytes }) => bytes)).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
    expect(rig.queue.flushed).toBe(2);
    rig.turn();
    expect(rig.source.reads).toEqual([5, 4]);
    rig.source.give();
    expect(rig.queue.heads).toEqual([0, 1, 2]);
  });

  it('gives what it has to the first, at least a byte each', () => {
    using rig = new Rig();
    rig.offer(4, 4, 4);
    rig.source.give(5);
    expect(rig.queue.written).toEqual([4, 1]);
    rig.turn();
    expect(rig.source.reads).toEqual([12, 4]);
    rig.source.give();
    expect(rig.queue.completions[2]?.bytes).toEqual([6, 7, 8, 9]);
  });

  it('is asked again when nothing came in time', () => {
    using rig = new Rig();
    rig.offer(4);
    rig.source.give(0);
    expect(rig.queue.written).toEqual([]);
    rig.turn();
    rig.source.give();
    expect(rig.queue.written).toEqual([4]);
    expect(rig.logger.lines).toEqual([]);
  });

  it('returns requests without room in their place', () => {
    using rig = new Rig();
    rig.offer(0, 4, 0, 4, 0);
    expect(rig.queue.heads).toEqual([0]);
    rig.source.give();
    rig.turn();
    expect(rig.queue.heads).toEqual([0, 1, 2, 3, 4]);
    expect(rig.queue.written).toEqual([0, 4, 0, 4, 0]);
    expect(rig.source.asked).toBe(false);
  });

  it('gives a request 64 KiB, and the others their turn after as much', () => {
    using rig = new Rig();
    rig.offer(3 * KIB_64, KIB_64, 16);
    expect(rig.source.reads).toEqual([KIB_64]);
    rig.source.give();
    expect(rig.queue.written).toEqual([KIB_64]);
    expect(rig.source.asked).toBe(false);
    rig.turn();
    rig.source.give();
    rig.turn();
    rig.source.give();
    expect(rig.queue.written).toEqual([KIB_64, KIB_64, 16]);
  });

  it('keeps what was read for a guest that has gone', () => {
    using rig = new Rig();
    rig.offer(4);
    rig.device.queueStopped();
    rig.device.reset();
    rig.source.give();
    expect(rig.queue.written).toEqual([]);
    rig.offer(2);
    rig.source.give();
    expect(rig.queue.completions[0]?.bytes).toEqual([1, 2]);
  });

  it('answers a former queue’s read to those of the next', () => {
    using rig = new Rig();
    rig.offer(4);
    rig.device.reset();
    rig.offer(3, 3);
    expect(rig.source.reads).toEqual([4]);
    rig.source.give();
    expect(rig.queue.completions.map(({ head, bytes }) => ({ head, bytes }))).toEqual([
      { head: 1, bytes: [1, 2, 3] },
      { head: 2, bytes: [4] },
    ]);
  });
});

describe('a source that ends or fails', () => {
  it('is named once, asked again, and named when it gives again', () => {
    using rig = new Rig();
    rig.offer(4);
    rig.source.fail('SOURCE_ENDED');
    rig.turn();
    rig.offer(4);
    expect(rig.source.reads).toEqual([4]);
    rig.wait();
    rig.source.fail('SOURCE_ENDED');
    expect(rig.logger.lines.map(({ level, context }) => [level, context])).toEqual([
      ['warn', { code: 'SOURCE_ENDED', error: 'cannot: SOURCE_ENDED' }],
    ]);
    rig.wait();
    rig.source.give();
    expect(rig.queue.written).toEqual([4, 4]);
    expect(rig.logger.lines.at(-1)).toMatchObject({ level: 'info' });
  });

  it('has failed anew when it fails otherwise', () => {
    using rig = new Rig();
    rig.offer(4);
    rig.source.fail('EIO');
    rig.wait();
    rig.source.fail('ENODEV');
    expect(rig.logger.lines.length).toBe(2);
  });
});

describe('a quota', () => {
  it('is given at once, and then a request waits until all that it gets is there', () => {
    using rig = new Rig({ maxBytes: 100, period: 100 });
    rig.offer(60, 60);
    rig.source.give();
    rig.turn();
    expect(rig.queue.written).toEqual([60]);
    expect(rig.source.asked).toBe(false);
    rig.now += 19;
    rig.wait();
    expect(rig.source.asked).toBe(false);
    rig.now += 1;
    rig.wait();
    rig.source.give();
    expect(rig.queue.written).toEqual([60, 60]);
  });

  it('is what a request gets that has room for more', () => {
    using rig = new Rig({ maxBytes: 1, period: 5 });
    rig.offer(64, 64);
    rig.source.give();
    rig.turn();
    rig.now += 5;
    rig.wait();
    rig.source.give();
    expect(rig.queue.written).toEqual([1, 1]);
  });

  it('is not used up by what the source did not give', () => {
    using rig = new Rig({ maxBytes: 10, period: 1000 });
    rig.offer(10);
    rig.source.give(4);
    rig.offer(6);
    rig.turn();
    rig.source.give();
    expect(rig.queue.written).toEqual([4, 6]);
  });

  it('is not renewed by a reset', () => {
    using rig = new Rig({ maxBytes: 10, period: 1000 });
    rig.offer(10);
    rig.source.give();
    rig.device.reset();
    rig.offer(1);
    rig.turn();
    expect(rig.source.asked).toBe(false);
  });
});

describe('a queue that is to stop', () => {
  const stop = (rig: Rig): { done: boolean } => {
    const state = { done: false };
    rig.device.queueStopping(rig.queue, () => {
      state.done = true;
    });
    return state;
  };

  it('stops at once when nothing waits', () => {
    using rig = new Rig();
    expect(stop(rig).done).toBe(true);
    rig.offer(4);
    rig.source.give();
    expect(stop(rig).done).toBe(true);
  });

  it('has each request get a byte, of the quota in advance', () => {
    using rig = new Rig({ maxBytes: 4, period: 1000 });
    rig.offer(4, 4, 4, 4);
    rig.source.give();
    rig.turn();
    expect(rig.queue.written).toEqual([4]);
    const state = stop(rig);
    expect(state.done).toBe(false);
    rig.source.give();
    expect(rig.queue.written).toEqual([4, 1, 1, 1]);
    expect(state.done).toBe(true);
  });

  it('gives no more than one period’s in advance, however often it stops', () => {
    using rig = new Rig({ maxBytes: 2, period: 1000 });
    for (let i = 0; i < 5; i++) {
      rig.offer(2, 2, 2);
      if (rig.source.asked) rig.source.give();
      const state = stop(rig);
      while (rig.source.asked) {
        rig.source.give();
        rig.turn();
      }
      expect(state.done).toBe(true);
      rig.device.queueStopped();
    }
    const given = rig.queue.written.reduce((sum, bytes) => sum + bytes, 0);
    expect(given).toBe(4);
    expect(rig.queue.written).not.toContain(0);
  });

  it('keeps the rest of a read that was under way', () => {
    using rig = new Rig();
    rig.offer(3, 3);
    const state = stop(rig);
    rig.source.give();
    expect(state.done).toBe(true);
    expect(rig.queue.completions.map(({ bytes }) => bytes)).toEqual([[1], [2]]);
    rig.device.queueStopped();
    rig.offer(2);
    rig.source.give();
    expect(rig.queue.completions[2]?.bytes).toEqual([3, 4]);
  });

  it('waits half a second for a source that has nothing', () => {
    using rig = new Rig();
    rig.offer(4, 4);
    const state = stop(rig);
    while (!state.done) rig.wait();
    expect(rig.queue.written).toEqual([]);
    expect(rig.logger.lines.at(-1)).toMatchObject({ level: 'warn', context: { lost: 2 } });
  });

  it('does not wait for a source that has ended', () => {
    using rig = new Rig();
    rig.offer(4);
    rig.source.fail('SOURCE_ENDED');
    const state = stop(rig);
    rig.source.fail('SOURCE_ENDED');
    expect(state.done).toBe(true);
  });

  it('stops when the device ends', () => {
    const rig = new Rig();
    rig.offer(4);
    const state = stop(rig);
    rig[Symbol.dispose]();
    expect(state.done).toBe(true);
    expect(rig.source.disposed).toBe(true);
  });
});

describe('memory of requests that is not there', () => {
  it.each([
    ['EFAULT', 14, { code: 'MEMORY_FAULT' }],
    ['EIO', 5, { code: 'EIO' }],
  ])("is the guest's fault, and other errors are not: %s", (_code, errno, thrown) => {
    using rig = new Rig();
    Object.assign(rig.source, {
      fill: () => {
        throw new SysError({ syscall: 'readv', errno });
      },
    });
    expect(() => rig.offer(4, 4)).toThrow(expect.objectContaining(thrown));
    expect(rig.queue.heads).toEqual([]);
  });
});
