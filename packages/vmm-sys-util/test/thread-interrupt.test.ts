import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { EventFd, setNonBlocking, ThreadInterrupt, threadCpuTime, threadId } from '../src/index.ts';

const SOURCE = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { EventFd, threadId } = await import(workerData.module);
  const event = EventFd.fromFd(workerData.fd);
  parentPort.postMessage(threadId());
  await new Promise((resolve) => parentPort.once('message', resolve));
  let asked = 0;
  const done = event.signalUnless(() => ++asked === 2);
  parentPort.postMessage({ done, asked });
  // There as long as it is interrupted.
  await new Promise((resolve) => parentPort.once('message', resolve));
`;

describe('ThreadInterrupt', () => {
  let event: EventFd | undefined;
  afterEach(() => event?.close());

  it('ends a write that waits, each time, until the writer gives up', async () => {
    event = EventFd.create(0xffff_fffe);
    const { writeSync } = await import('node:fs');
    writeSync(event.fd, new Uint8Array(BigUint64Array.of(0xffff_fffe_ffff_ffffn + 1n).buffer));
    const interrupt = ThreadInterrupt.install();
    const module = new URL('../dist/index.js', import.meta.url).href;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(SOURCE)}`), {
      workerData: { module, fd: event.fd },
      execArgv: [],
    });
    const [tid] = (await once(worker, 'message')) as [number];
    expect(tid).not.toBe(threadId());
    // As a peer does that shares it.
    setNonBlocking(event.fd, false);
    worker.postMessage('go');
    const ended = once(worker, 'exit');
    const result = once(worker, 'message');
    let over = false;
    void result.then(() => {
      over = true;
    });
    while (!over) {
      expect(interrupt.interrupt(tid)).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await result).toEqual([{ done: false, asked: 2 }]);
    worker.postMessage('end');
    await ended;
    // The kernel takes a moment longer.
    await expect.poll(() => interrupt.interrupt(tid)).toBe(false);
  });

  it('is installed once in a process', () => {
    expect(ThreadInterrupt.install().signal).toBe(ThreadInterrupt.install().signal);
  });
});

describe('threadCpuTime', () => {
  it('counts what a thread does, and not what it sleeps', async () => {
    const before = threadCpuTime(threadId());
    while (threadCpuTime(threadId()) < before + 20);
    const busy = threadCpuTime(threadId());
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(threadCpuTime(threadId()) - busy).toBeLessThan(100);
    expect(() => threadCpuTime(1)).toThrow('clock_gettime');
  });
});
