import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { ChunkLoans } from '@node-vmm/vm-memory';
import fc from 'fast-check';
import { expect, it } from 'vitest';

const clock = (): Int32Array => new Int32Array(new SharedArrayBuffer(4));

type Step = 'retain' | 'release' | 'end' | 'revoke' | 'restore';
const step = fc.constantFrom<Step>('retain', 'release', 'end', 'revoke', 'restore');

it('counts loans, and is taken away only while there are none, whatever both sides do', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const owner = ChunkLoans.create(clock());
      const borrower = new ChunkLoans(owner.words, owner.clock);
      let [out, ending, revoked] = [1, false, false];
      for (const one of steps) {
        const free = !ending && !revoked;
        if (one === 'retain') {
          expect(borrower.shareable).toBe(free);
          expect(borrower.retain()).toBe(free);
          if (free) out++;
        } else if (one === 'release' && out > 0) {
          out--;
          expect(borrower.release()).toBe(out === 0 && ending);
        } else if (one === 'end') {
          owner.end();
          ending = true;
        } else if (one === 'revoke') {
          expect(owner.revoke()).toBe(out === 0);
          revoked = out === 0;
        } else if (one === 'restore') {
          owner.restore();
          revoked = false;
        }
        expect([owner.count, owner.ending]).toEqual([out, ending || revoked]);
      }
    }),
    { numRuns: 300 },
  );
});

it('knows when it was lent last, and how often, also where that was within its thread', () => {
  const time = clock();
  const loans = ChunkLoans.create(time);
  Atomics.store(time, 0, 5);
  loans.shared(3);
  expect([loans.used, loans.lent]).toEqual([5, 3]);
  loans.release();
  Atomics.store(time, 0, 6);
  expect([loans.retain(), loans.used, loans.lent]).toEqual([true, 6, 4]);
  loans.shared(0x7fff_ffff);
  expect(loans.lent).toBeGreaterThanOrEqual(0);
});

it('is in the hands of nobody when its owner on another thread has taken it', async () => {
  const loans = ChunkLoans.create(clock());
  loans.release();
  /** Whether the borrower has it, how often it had it, and whether it is to stop. */
  const shared = new Int32Array(new SharedArrayBuffer(12));
  const { words } = loans;
  const worker = new Worker(new URL('../fixtures/borrower.mjs', import.meta.url), {
    workerData: { words, clock: loans.clock, shared },
    // What was built, whatever tests are run with.
    execArgv: [],
  });
  await once(worker, 'message');
  let taken = 0;
  for (let i = 0; i < 200_000 || taken < 100; i++) {
    if (!loans.revoke()) continue;
    if (Atomics.load(shared, 0) !== 0) throw new Error('it was taken away from who has it');
    taken++;
    loans.restore();
  }
  Atomics.store(shared, 2, 1);
  await once(worker, 'exit');
  expect(loans.count).toBe(0);
  expect(Atomics.load(shared, 1)).toBeGreaterThan(0);
});
