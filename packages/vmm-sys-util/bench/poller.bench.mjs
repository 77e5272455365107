// What the main thread's poller costs: from the signal of an eventfd by way of the callback to what
// awaits it. Signalled by the same thread, and by a thread that blocks in an `EventLoop` and echoes.
// Run after a build: node packages/vmm-sys-util/bench/poller.bench.mjs

import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { asFd, dupFd, EventFd, EventLoop, MainPoller } from '@node-vmm/vmm-sys-util';

const ROUNDS = 7;
const COUNT = 20_000;

/** Median of the rounds with the least and the most, in microseconds. */
async function measure(title, ask, answer) {
  const poller = new MainPoller();
  let arrived;
  poller.watch(answer.fd, { readable: true }, () => {
    answer.drain();
    arrived();
  });
  const once = () =>
    new Promise((resolve) => {
      arrived = resolve;
      ask.signal();
    });
  const times = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const started = process.hrtime.bigint();
    for (let i = 0; i < COUNT; i++) await once();
    times.push(Number(process.hrtime.bigint() - started) / 1000 / COUNT);
  }
  poller.close();
  // The first one warms up.
  const sorted = times.slice(1).sort((a, b) => a - b);
  const [median, least, most] = [sorted[(ROUNDS - 1) / 2], sorted[0], sorted.at(-1)];
  const text = `${median.toFixed(2)} us (${least.toFixed(2)}..${most.toFixed(2)})`;
  console.log(`  ${title.padEnd(28)} ${text}`);
}

function echo({ stop, ask, answer }) {
  const loop = new EventLoop(EventFd.fromFd(dupFd(asFd(stop))));
  const [inbox, outbox] = [ask, answer].map((fd) => EventFd.fromFd(dupFd(asFd(fd))));
  loop.watch(inbox.fd, { readable: true }, () => {
    inbox.drain();
    outbox.signal();
  });
  loop.run();
}

if (isMainThread) {
  const [stop, ask, answer] = [EventFd.create(), EventFd.create(), EventFd.create()];
  console.log(`  Node ${process.versions.node}, ${ROUNDS} rounds of ${COUNT}`);
  await measure('signal of the same thread', answer, answer);
  const data = { stop: stop.fd, ask: ask.fd, answer: answer.fd };
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  const ended = new Promise((resolve) => worker.on('exit', resolve));
  await measure('round trip to a worker', ask, answer);
  stop.signal();
  await ended;
} else echo(workerData);
