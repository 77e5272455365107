import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryRenewal, type MemoryUser } from '../../src/memory-renewal.ts';
import { MemoryLogger } from '../../src/testing/index.ts';

/** Lets go when it is told to. */
class User implements MemoryUser {
  renewed = 0;
  readonly mapsAll: boolean;
  readonly #waiting: (() => void)[] = [];

  constructor(mapsAll = false) {
    this.mapsAll = mapsAll;
  }

  renew(): Promise<void> {
    this.renewed++;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async letGo(): Promise<void> {
    this.#waiting.shift()?.();
    await turns();
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe('MemoryRenewal', () => {
  let book: MemoryLogger;
  let cleared: number;
  let renewal: MemoryRenewal;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    book = new MemoryLogger();
    cleared = 0;
    renewal = new MemoryRenewal(book, () => {
      cleared++;
    });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Whether the guest goes on. */
  const change = (): { over: boolean } => {
    const state = { over: false };
    const wait = renewal.changed();
    if (wait === undefined) state.over = true;
    void wait?.then(() => {
      state.over = true;
    });
    return state;
  };

  it('lets go of what this process has, and waits for nobody where there is nobody', () => {
    expect(renewal.changed()).toBeUndefined();
    expect(cleared).toBe(1);
  });

  it('has the guest wait until all back-ends have let go', async () => {
    const users = [new User(), new User()];
    for (const user of users) renewal.add(user);
    const state = change();
    expect(users.map(({ renewed }) => renewed)).toEqual([1, 1]);
    await users[0]?.letGo();
    expect(state.over).toBe(false);
    await users[1]?.letGo();
    expect(state.over).toBe(true);
    expect(book.lines).toEqual([]);
  });

  it('tells once more of all that comes while a back-end is at it', async () => {
    const user = new User();
    renewal.add(user);
    const first = change();
    const more = Array.from({ length: 100 }, change);
    expect(user.renewed).toBe(1);
    await user.letGo();
    expect(first.over).toBe(true);
    expect(more.every(({ over }) => !over)).toBe(true);
    expect(user.renewed).toBe(2);
    await user.letGo();
    expect(more.every(({ over }) => over)).toBe(true);
    expect(user.renewed).toBe(2);
    const last = change();
    expect(user.renewed).toBe(3);
    await user.letGo();
    expect(last.over).toBe(true);
  });

  it('waits a second for one that does not, says so once, and then not for it until it has', async () => {
    const slow = new User();
    const good = new User();
    renewal.add(slow);
    renewal.add(good);
    const first = change();
    await good.letGo();
    await vi.advanceTimersByTimeAsync(999);
    expect(first.over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await turns();
    expect(first.over).toBe(true);
    const second = change();
    await good.letGo();
    expect(second.over).toBe(true);
    expect(slow.renewed).toBe(1);
    expect(book.saying('has not let go')).toHaveLength(1);
    await slow.letGo();
    // What it was not told of meanwhile.
    expect(slow.renewed).toBe(2);
    await slow.letGo();
    const third = change();
    await good.letGo();
    expect(third.over).toBe(false);
    await slow.letGo();
    expect(third.over).toBe(true);
    expect(book.lines).toHaveLength(1);
  });

  it('tells those who map all once the guest is quiet, and the guest does not wait', async () => {
    const whole = new User(true);
    renewal.add(whole);
    for (let i = 0; i < 100; i++) {
      expect(change().over).toBe(true);
      await vi.advanceTimersByTimeAsync(900);
    }
    expect(whole.renewed).toBe(0);
    await vi.advanceTimersByTimeAsync(100);
    expect(whole.renewed).toBe(1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(whole.renewed).toBe(1);
  });

  it('tells nothing to those who are gone', async () => {
    const user = new User();
    const forget = renewal.add(user);
    const whole = new User(true);
    const forgetWhole = renewal.add(whole);
    change();
    forget();
    forgetWhole();
    expect(renewal.changed()).toBeUndefined();
    await vi.advanceTimersByTimeAsync(10_000);
    expect([user.renewed, whole.renewed]).toEqual([1, 0]);
  });

  describe('of a guest that says so without end', () => {
    /** Lets go at once. */
    class Prompt extends User {
      override async renew(): Promise<void> {
        this.renewed++;
      }
    }

    /** A vCPU that gives memory back as fast as it is answered, for a time. */
    const balloon = async (forMs: number): Promise<number> => {
      const end = performance.now() + forMs;
      let answers = 0;
      let over = false;
      const vcpu = async (): Promise<void> => {
        while (performance.now() < end) {
          await renewal.changed();
          answers++;
        }
        over = true;
      };
      void vcpu();
      for (let ms = 0; ms <= forMs && !over; ms++) await vi.advanceTimersByTimeAsync(1);
      return answers;
    };

    /** It has said so more often than it may at once. */
    const exhaust = (): void => {
      for (let i = 0; i <= 512; i++) void renewal.changed();
      expect(book.saying('without a pause')).toHaveLength(1);
    };

    it('slows no cycle of 256 MiB, nor the next one a while later', async () => {
      const user = new Prompt();
      renewal.add(user);
      for (let cycle = 0; cycle < 10; cycle++) {
        const began = performance.now();
        for (let part = 0; part < 2 * 128; part++) await renewal.changed();
        expect(performance.now()).toBe(began);
        await vi.advanceTimersByTimeAsync(2_000);
      }
      expect(user.renewed).toBe(10 * 256);
      expect(book.lines).toEqual([]);
    });

    it('has it wait, and says so once', async () => {
      const user = new Prompt();
      renewal.add(user);
      const answers = await balloon(10_000);
      expect(user.renewed).toBe(answers);
      expect(answers).toBeGreaterThanOrEqual(512 + 1_900);
      expect(answers).toBeLessThanOrEqual(512 + 2_002);
      expect(book.saying('without a pause')).toHaveLength(1);
    });

    it('has it wait longer the more back-ends it has told', async () => {
      const users = Array.from({ length: 20 }, () => new Prompt());
      for (const user of users) renewal.add(user);
      const answers = await balloon(10_000);
      expect(answers).toBeLessThanOrEqual(512 + 252);
      for (const { renewed } of users) expect(renewed).toBe(answers);
    });

    it('answers all of its vCPUs by one round, which begins after the last of them asked', async () => {
      const user = new Prompt();
      renewal.add(user);
      exhaust();
      await turns();
      const [seen, before] = [user.renewed, cleared];
      const states = Array.from({ length: 128 }, change);
      await vi.advanceTimersByTimeAsync(4);
      expect([user.renewed, states.some(({ over }) => over)]).toEqual([seen, false]);
      await vi.advanceTimersByTimeAsync(1);
      await turns();
      expect([user.renewed, states.every(({ over }) => over)]).toEqual([seen + 1, true]);
      expect(cleared).toBe(before + 1);
    });

    it('keeps no other guest waiting', async () => {
      const user = new Prompt();
      renewal.add(user);
      exhaust();
      const other = new MemoryRenewal(book, () => undefined);
      const neighbour = new Prompt();
      other.add(neighbour);
      const began = performance.now();
      for (let part = 0; part < 128; part++) await other.changed();
      expect([neighbour.renewed, performance.now() - began]).toEqual([128, 0]);
    });

    it('answers it when its last device is gone meanwhile', async () => {
      const user = new Prompt();
      const forget = renewal.add(user);
      exhaust();
      const state = change();
      forget();
      await vi.advanceTimersByTimeAsync(5);
      await turns();
      expect(state.over).toBe(true);
    });
  });
});
