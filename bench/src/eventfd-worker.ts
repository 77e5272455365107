// One of the two threads of the eventfd benchmark.
import { parentPort, workerData } from 'node:worker_threads';
import { asFd, EventFd, EventLoop } from '@node-vmm/vmm-sys-util';

/** What the thread is to do. */
export interface PingPong {
  /** The side that starts and measures. */
  readonly first: boolean;
  /** Edge-triggered and never read, as vrings do; else drained at every signal. */
  readonly edge: boolean;
  readonly rounds: number;
  readonly mine: number;
  readonly theirs: number;
}

const { first, edge, rounds, mine, theirs } = workerData as PingPong;
const stop = EventFd.create();
const loop = new EventLoop(stop);
const inbox = EventFd.fromFd(asFd(mine));
const outbox = EventFd.fromFd(asFd(theirs));
const warmUp = rounds / 10;
let left = rounds + warmUp;
let begin = 0n;

const onSignal = (): void => {
  if (left === rounds) begin = process.hrtime.bigint();
  if (left > 0) {
    left--;
    outbox.signal();
    // The other side still waits for this last one; we wait for nothing.
    if (left > 0 || first) return;
  } else {
    parentPort?.postMessage(Number(process.hrtime.bigint() - begin) / rounds);
  }
  stop.signal();
};

if (edge) loop.watchSignals(inbox.fd, onSignal);
else {
  loop.watch(inbox.fd, { readable: true }, () => {
    inbox.drain();
    onSignal();
  });
}
if (first) {
  left--;
  outbox.signal();
}
loop.run();
loop.close();
stop.close();
