import { once } from 'node:events';
import { ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import {
  asFd,
  closeFd,
  FaultGuard,
  FaultWatch,
  type Fd,
  MAP_NORESERVE,
  MAP_SHARED,
  Mapping,
  mappingPageSize,
  readvFd,
  SysError,
} from '../../../src/index.ts';
import { sys } from '../../../src/libc.ts';

const LENGTH = 0x20_0000;
const PAGE = 4096;
/** linux/memfd.h. */
const MFD_HUGETLB = 4;
const HUGE = 0x20_0000;

/** A file in memory that may shrink. */
function openMemory(length = LENGTH): Fd {
  const fd = asFd(sys.memfdCreate('guest', 1));
  ftruncateSync(fd, length);
  return fd;
}

function guarded(guard: FaultGuard, fd: Fd, length = LENGTH, flags = MAP_SHARED) {
  const mapping = Mapping.create({ length, fd, flags });
  const protection = guard.protect({
    pointer: mapping.pointer,
    length,
    pageSize: mappingPageSize(fd),
  });
  return {
    fd,
    bytes: new Uint8Array(mapping.buffer()),
    protection,
    watch: new FaultWatch([protection.mark]),
    pointer: mapping.pointer,
    close: () => {
      protection.close();
      mapping.close();
      closeFd(fd);
    },
  };
}

/** Faults from another thread, in which the package is another copy of it. */
const WORKER = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { FaultGuard, FaultWatch, viewOf } = await import(workerData.module);
  const { pointer, length, mark, step, again } = workerData;
  const bytes = new Uint8Array(viewOf(pointer, length));
  const watch = new FaultWatch([mark]);
  const before = watch.faulted;
  let sum = 0;
  for (let at = 0; at < length; at += step) sum += bytes[at];
  parentPort.postMessage({ before, sum, after: watch.faulted });
`;

function inWorker(workerData: Record<string, unknown>): Worker {
  const module = new URL('../../../dist/index.js', import.meta.url).href;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(WORKER)}`), {
    workerData: { ...workerData, module },
    execArgv: [],
  });
}

const mappings = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').length;

describe('FaultGuard', () => {
  it('marks what faulted, and nothing else', () => {
    const guard = FaultGuard.install();
    const a = guarded(guard, openMemory());
    const b = guarded(guard, openMemory());
    a.bytes[0] = 1;
    b.bytes[0] = 2;
    expect([a.watch.faulted, b.watch.faulted]).toEqual([false, false]);
    ftruncateSync(a.fd, 0);
    expect(a.bytes[5 * PAGE]).toBe(0);
    expect([a.watch.faulted, b.watch.faulted]).toEqual([true, false]);
    expect(new FaultWatch([b.protection.mark, a.protection.mark]).faulted).toBe(true);
    expect(b.bytes[0]).toBe(2);
    a.close();
    b.close();
  });

  it('is one for all threads and copies of the package', async () => {
    const memory = guarded(FaultGuard.install(), openMemory());
    ftruncateSync(memory.fd, 0);
    const { pointer, protection } = memory;
    const data = { pointer, length: LENGTH, mark: protection.mark, step: PAGE };
    const [answer] = await once(inWorker(data), 'message');
    expect(answer).toEqual({ before: false, sum: 0, after: true });
    expect(memory.watch.faulted).toBe(true);
    const again = FaultGuard.install().protect({ pointer, length: LENGTH, pageSize: PAGE });
    // The same table: another entry of it, next to the first.
    expect(Math.abs(again.mark - protection.mark)).toBe(64);
    again.close();
    memory.close();
  });

  it('keeps the number of mappings, however many pages fault', () => {
    const memory = guarded(FaultGuard.install(), openMemory(64 * LENGTH), 64 * LENGTH);
    ftruncateSync(memory.fd, 0);
    const before = mappings();
    // Every other page: none of those that take their place has a neighbour.
    for (let at = 0; at < 64 * LENGTH; at += 2 * PAGE) memory.bytes[at] = 1;
    expect(mappings() - before).toBeLessThan(64);
    expect(memory.watch.faulted).toBe(true);
    memory.close();
  });

  it('leaves failing system calls to their callers', () => {
    const memory = guarded(FaultGuard.install(), openMemory());
    ftruncateSync(memory.fd, 0);
    const random = asFd(openSync('/dev/urandom', 'r'));
    const iov = BigUint64Array.of(memory.pointer, BigInt(PAGE));
    expect(() => readvFd(random, iov, 1)).toThrow(SysError);
    expect(() => writeSync(openSync('/dev/shm', 0x41_0002), memory.bytes.subarray(0, 16))).toThrow(
      expect.objectContaining({ code: 'EFAULT' }),
    );
    expect(memory.watch.faulted).toBe(false);
    closeFd(random);
    memory.close();
  });

  it('finds whole entries while others come and go', async () => {
    const guard = FaultGuard.install();
    const length = 4 * LENGTH;
    const idle = guarded(guard, openMemory());
    const rounds = 3;
    for (let round = 0; round < rounds; round++) {
      const memory = guarded(guard, openMemory(length), length);
      ftruncateSync(memory.fd, 0);
      const { pointer, protection } = memory;
      let done = false;
      const worker = inWorker({ pointer, length, mark: protection.mark, step: 2 * PAGE });
      const answer = once(worker, 'message').then(([message]) => {
        done = true;
        return message;
      });
      while (!done) {
        for (let i = 0; i < 200; i++) {
          const range = { pointer: idle.pointer, length: LENGTH, pageSize: PAGE };
          for (const one of [guard.protect(range), guard.protect(range)]) one.close();
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(await answer).toEqual({ before: false, sum: 0, after: true });
      memory.close();
    }
    expect(idle.watch.faulted).toBe(false);
    idle.close();
  }, 120_000);

  it('counts 10,000 faults, each in a mapping of its own', () => {
    const guard = FaultGuard.install();
    const fd = openMemory(PAGE);
    for (let i = 0; i < 10_000; i++) {
      ftruncateSync(fd, PAGE);
      const mapping = Mapping.create({ length: PAGE, fd });
      const { pointer } = mapping;
      const protection = guard.protect({ pointer, length: PAGE, pageSize: PAGE });
      const word = new Int32Array(mapping.buffer());
      word[0] = i + 1;
      ftruncateSync(fd, 0);
      if (word[0] !== 0) throw new Error(`fault ${i}: a page that is gone holds ${word[0]}`);
      if (!new FaultWatch([protection.mark]).faulted) throw new Error(`fault ${i}: no mark`);
      protection.close();
      mapping.close();
    }
    closeFd(fd);
  }, 120_000);

  it('refuses what is no whole number of pages', () => {
    const guard = FaultGuard.install();
    using mapping = Mapping.create({ length: LENGTH });
    const { pointer } = mapping;
    expect(() => guard.protect({ pointer, length: 4097, pageSize: PAGE })).toThrow(RangeError);
    expect(() => guard.protect({ pointer, length: 0, pageSize: PAGE })).toThrow(RangeError);
  });
});

const hugePages = sys.memfdCreate('huge', MFD_HUGETLB | 1);
const freeHugePages = /HugePages_Free:\s*(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];

describe('FaultGuard and huge pages', () => {
  it.skipIf(hugePages < 0 || freeHugePages !== '0')(
    'replaces one whole when the pool is empty (needs hugetlbfs without free pages)',
    () => {
      const fd = asFd(hugePages);
      ftruncateSync(fd, 2 * HUGE);
      expect(mappingPageSize(fd)).toBe(HUGE);
      const flags = MAP_SHARED | MAP_NORESERVE;
      const memory = guarded(FaultGuard.install(), fd, 2 * HUGE, flags);
      memory.bytes[HUGE + 5000] = 7;
      expect([memory.bytes[HUGE + 5000], memory.bytes[HUGE]]).toEqual([7, 0]);
      expect(memory.watch.faulted).toBe(true);
      memory.bytes[1] = 1;
      memory.close();
    },
  );
});
