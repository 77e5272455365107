import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Guests } from './dispatch/guests.ts';
import { Programs } from './dispatch/programs.ts';
import {
  type Dispatcher,
  drive,
  type Latency,
  type RunParts,
  Serving,
  USUAL_NICE,
  type Work,
} from './dispatch/run.ts';
import { type Placement, placements } from './placement.ts';
import { formatNumber, formatRatio, printTable, spread } from './stats.ts';

/** How large a measurement is. */
export interface DispatchOptions {
  /** Alternations. */
  readonly rounds: number;
  /** Of each measurement. */
  readonly seconds: number;
  readonly guests: number;
  /** Dispatch threads, in C as in ours. */
  readonly threads: number;
}

const DEFAULTS: DispatchOptions = {
  rounds: Number(process.env['BENCH_ROUNDS'] ?? 6),
  seconds: Number(process.env['BENCH_SECONDS'] ?? 1),
  guests: 64,
  threads: 2,
};
/** Ours: how much longer it is warmed up than a measurement lasts, and how many milliseconds at most. */
const WARM_UP = { share: 0.5, most: 500 };

/** Ours: how often a thread is killed. */
const REPLACEMENTS = 10;

/** Only the superuser may ask for the others for sure. */
const DISPATCHERS: readonly Dispatcher[] =
  process.getuid?.() === 0
    ? ['C', 'threads', 'main', 'C first', 'threads even']
    : ['C', 'threads', 'main'];
const NAMES: Readonly<Record<Dispatcher, string>> = {
  C: 'in C',
  threads: 'dispatch threads',
  main: 'main thread',
  'C first': `in C, nice ${USUAL_NICE}`,
  'threads even': 'dispatch threads, nice 0',
};
/** Who differs in the priority alone, which matters where there is more to do than there are processors. */
const OTHER_PRIORITY: readonly Dispatcher[] = ['C first', 'threads even'];
const WORKS: readonly Exclude<Work, 'direct'>[] = ['read', 'paced', 'loaded', 'request'];

function worksOf(dispatcher: Dispatcher): typeof WORKS {
  return OTHER_PRIORITY.includes(dispatcher) ? ['loaded'] : WORKS;
}

/** By dispatcher and work, one for each round. */
type Results = ReadonlyMap<string, Latency[]>;

function titleOf(work: Work, { guests }: DispatchOptions): string {
  if (work === 'read') return 'register read, idle';
  if (work === 'paced') return `register read, ${guests - 1} others now and then`;
  if (work === 'loaded') return `register read, ${guests - 1} others all the time`;
  return 'kick, back-end, interrupt';
}

/**
 * Dispatch threads against a dispatcher in C with as many threads, on the same pages and eventfds, driven by the
 * same program in C; the main thread as a dispatcher beside them, and a request that passes no bridge.
 */
export async function dispatch(options: DispatchOptions = DEFAULTS): Promise<void> {
  using programs = Programs.compile();
  if (programs === undefined) {
    console.log('  no gcc here, so there is nobody to drive a dispatcher');
    return;
  }
  const { rounds, seconds, guests, threads } = options;
  using shared = new Guests(guests);
  const length = 1000 * seconds;
  const warmUp = Math.ceil(Math.min(WARM_UP.share * length, WARM_UP.most));
  const parts: RunParts = { programs, fds: shared.fds, guests, threads, length, warmUp };
  for (const placement of placements()) {
    print(placement, await measure(parts, placement, rounds), options);
  }
  console.log(
    `  ${rounds} rounds of ${seconds} s in turn, ${guests} guests on ${threads} threads, dispatcher and driver ` +
      `placed by sched_setaffinity; medians, ratio: median (least..most); dispatch threads have nice ${USUAL_NICE} ` +
      'by default where that is allowed, C has what it is started with',
  );
  const program = fileURLToPath(new URL('./dispatch/replacement.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program, `${REPLACEMENTS}`]);
  const { min, median, max } = spread(JSON.parse(stdout) as number[]);
  console.log(
    `  a dispatch thread that is killed is replaced in ${formatNumber(median)} ms (${formatNumber(min)}..` +
      `${formatNumber(max)}), from there to the first answer of the next, ${REPLACEMENTS} times, wherever it runs`,
  );
}

async function measure(parts: RunParts, placement: Placement, rounds: number): Promise<Results> {
  const results = new Map<string, Latency[]>();
  const keep = (key: string, latency: Latency): void => {
    results.set(key, [...(results.get(key) ?? []), latency]);
  };
  for (let round = 0; round < rounds; round++) {
    // Each goes first every other time.
    const order = round % 2 === 0 ? DISPATCHERS : DISPATCHERS.toReversed();
    for (const dispatcher of order) {
      const serving = await Serving.start(parts, dispatcher, placement.daemon);
      try {
        for (const work of worksOf(dispatcher)) {
          keep(`${dispatcher} ${work}`, await drive(parts, work, placement.driver));
        }
      } finally {
        await serving.stop();
      }
    }
    keep('direct', await drive(parts, 'direct', placement.driver));
  }
  return results;
}

function print({ name }: Placement, results: Results, options: DispatchOptions): void {
  const of = (key: string, field: keyof Latency): number[] =>
    (results.get(key) ?? []).map((latency) => latency[field]);
  const us = (values: readonly number[]): string => formatNumber(spread(values).median / 1000);
  const ratio = (key: string, base: string, field: keyof Latency): string => {
    const bases = of(base, field);
    return formatRatio(spread(of(key, field).map((value, i) => value / (bases[i] ?? Number.NaN))));
  };
  const heads = ['p50 us', 'p99 us', 'p50 to C', 'p99 to C', 'accesses/s to C', 'p50 to no bridge'];
  const table = [[name, ...heads]];
  for (const work of WORKS) {
    for (const dispatcher of DISPATCHERS) {
      if (!worksOf(dispatcher).includes(work)) continue;
      const key = `${dispatcher} ${work}`;
      const base = `C ${work}`;
      const ours = dispatcher !== 'C';
      table.push([
        `${titleOf(work, options)}: ${NAMES[dispatcher]}`,
        us(of(key, 'p50')),
        us(of(key, 'p99')),
        ours ? ratio(key, base, 'p50') : '',
        ours ? ratio(key, base, 'p99') : '',
        ours && work === 'loaded' ? ratio(key, base, 'rate') : '',
        work === 'request' ? ratio(key, 'direct', 'p50') : '',
      ]);
    }
  }
  table.push([
    'back-end alone, no bridge',
    us(of('direct', 'p50')),
    us(of('direct', 'p99')),
    '',
    '',
    '',
    '',
  ]);
  printTable(table);
}
