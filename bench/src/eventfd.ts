import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { EventFdBaseline } from './eventfd-baseline.ts';
import type { PingPong } from './eventfd-worker.ts';
import { formatNumber, formatRatio, printTable, spread } from './stats.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);
const ROUND_TRIPS = 100_000;

/** Nanoseconds per round trip between two worker threads that block in an `EventLoop`. */
async function pingPong(edge: boolean): Promise<number> {
  const ping = EventFd.create();
  const pong = EventFd.create();
  const start = (first: boolean): Worker => {
    const workerData: PingPong = {
      first,
      edge,
      rounds: ROUND_TRIPS,
      mine: (first ? pong : ping).fd,
      theirs: (first ? ping : pong).fd,
    };
    return new Worker(new URL('./eventfd-worker.js', import.meta.url), {
      workerData,
      // Descriptors belong to the process, not to the thread that happens to close them.
      trackUnmanagedFds: false,
    });
  };
  const workers = [start(true), start(false)] as const;
  const ended = workers.map((worker) => once(worker, 'exit'));
  const [time] = (await once(workers[0], 'message')) as [number];
  await Promise.all(ended);
  ping.close();
  pong.close();
  return time;
}

/** Round trip between two threads by eventfds: our event loop against C. */
export async function eventfd(): Promise<void> {
  using baseline = EventFdBaseline.compile();
  if (baseline === undefined) console.log('  no gcc here, so there is no ratio');
  const rows = [['eventfd round trip', 'node-vmm us', 'C us', 'C / node-vmm']];
  for (const edge of [false, true]) {
    const ours: number[] = [];
    const limit: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(await pingPong(edge));
      if (baseline !== undefined) limit.push(baseline.run(ROUND_TRIPS, edge));
    }
    const ratios = ours.map((time, i) => (limit[i] ?? Number.NaN) / time);
    rows.push([
      edge ? 'edge-triggered, as vrings' : 'drained at every signal',
      formatNumber(spread(ours).median / 1000),
      formatNumber(spread(limit).median / 1000),
      baseline === undefined ? '' : formatRatio(spread(ratios)),
    ]);
  }
  printTable(rows);
  console.log(`  ${ROUNDS} rounds of ${ROUND_TRIPS} in turn; ratio: median (least..most), 1 is C`);
}
