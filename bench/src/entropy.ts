import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DaemonProcess, findRustDaemon } from './daemon-process.ts';
import type { Measured, Scenario } from './entropy-load.ts';
import { type Placement, placed, placements } from './placement.ts';
import { formatNumber, formatRatio, printTable, spread } from './stats.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 6);
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 1);
const SCENARIOS: readonly Scenario[] = [
  { depth: 1, size: 64, seconds: SECONDS },
  { depth: 64, size: 64, seconds: SECONDS },
  { depth: 1, size: 65_536, seconds: SECONDS },
  { depth: 4, size: 65_536, seconds: SECONDS },
];
/** Numbers of guests whose daemons are weighed. */
const SOCKET_COUNTS = [1, 64];
const READY_MS = 20_000;

const exec = promisify(execFile);
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** A daemon that is compared. Both take the same options. */
interface Contestant {
  readonly name: string;
  readonly command: readonly string[];
}

function contestants(): Contestant[] {
  const main = new URL('./main.js', import.meta.resolve('@node-vmm/vhost-device-rng'));
  const ours = { name: 'node-vmm', command: [process.execPath, fileURLToPath(main)] };
  const rust = findRustDaemon('vhost-device-rng');
  if (rust !== undefined) return [ours, { name: 'rust-vmm', command: [rust] }];
  console.log(
    '  vhost-device-rng is not here, so there is no ratio. To get it:\n' +
      '  cargo install vhost-device-rng --version 0.1.0 --root ~/.cache/node-vmm/vhost-device-rng-0.1.0',
  );
  return [ours];
}

/** Starts a daemon on `<prefix>0`, `<prefix>1`, ... */
function start(
  { name, command }: Contestant,
  prefix: string,
  cpu: number | undefined,
  sockets = 1,
): DaemonProcess {
  const [program = '', ...rest] = command;
  const options = ['-s', prefix, '-c', String(sockets)];
  const [first = '', ...args] = placed(cpu, program, [...rest, ...options]);
  return new DaemonProcess(name, `${prefix}0`, first, args);
}

/** One round against one daemon: a fresh guest runs every scenario. */
async function drive(daemon: DaemonProcess, cpu: number | undefined): Promise<Measured[]> {
  const args = [script('./entropy-driver.js'), daemon.socket, JSON.stringify(SCENARIOS)];
  const [command = '', ...rest] = placed(cpu, process.execPath, args);
  const { stdout } = await exec(command, rest);
  return JSON.parse(stdout) as Measured[];
}

/**
 * Our entropy daemon against rust-vmm's: the same guest, rounds in turn, on one core and on two. Without
 * the Rust daemon ours is measured alone.
 */
export async function entropy(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'node-vmm-bench-'));
  const both = contestants();
  try {
    for (const placement of placements()) await compare(both, placement, directory);
    await weigh(both, directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  console.log(
    `  ${ROUNDS} rounds of ${SECONDS} s in turn; ratio: median (least..most). Times are round trips, ` +
      'at depth n of n requests.',
  );
}

async function compare(
  both: readonly Contestant[],
  placement: Placement,
  directory: string,
): Promise<void> {
  const daemons = both.map((contestant) =>
    start(contestant, join(directory, contestant.name), placement.daemon),
  );
  try {
    const rounds: Measured[][][] = daemons.map(() => []);
    for (let round = 0; round < ROUNDS; round++) {
      // Each goes first every other time.
      const order = [...daemons.keys()];
      if (round % 2 === 1) order.reverse();
      for (const d of order) {
        rounds[d]?.push(await drive(daemons[d] as DaemonProcess, placement.driver));
      }
    }
    print(placement, daemons, rounds);
  } finally {
    await Promise.all(daemons.map((daemon) => daemon.stop()));
  }
}

function print(
  { name }: Placement,
  daemons: readonly DaemonProcess[],
  rounds: readonly (readonly (readonly Measured[])[])[],
): void {
  const table = [[name, 'requests/s', 'MB/s', 'p50 us', 'p99 us', 'ratio to Rust']];
  SCENARIOS.forEach(({ depth, size }, s) => {
    const of = (d: number, field: keyof Measured): number[] =>
      (rounds[d] ?? []).map((measured) => measured[s]?.[field] ?? Number.NaN);
    daemons.forEach((daemon, d) => {
      const rates = of(d, 'requestsPerSecond');
      const rust = of(1, 'requestsPerSecond');
      const ratio =
        d === 0 && rust.length > 0
          ? formatRatio(spread(rates.map((rate, i) => rate / (rust[i] ?? Number.NaN))))
          : '';
      const cell = (field: keyof Measured): string => formatNumber(spread(of(d, field)).median);
      table.push([
        `${daemon.name}, ${size} bytes, depth ${depth}`,
        cell('requestsPerSecond'),
        cell('megabytesPerSecond'),
        cell('p50'),
        cell('p99'),
        ratio,
      ]);
    });
  });
  printTable(table);
}

/** Resident memory of daemons that wait for their guests. */
async function weigh(both: readonly Contestant[], directory: string): Promise<void> {
  const table = [['resident memory, MB', ...SOCKET_COUNTS.map((count) => `${count} sockets`)]];
  for (const contestant of both) {
    const row = [contestant.name];
    for (const count of SOCKET_COUNTS) {
      const prefix = join(directory, `${contestant.name}-${count}-`);
      const daemon = start(contestant, prefix, undefined, count);
      try {
        const deadline = performance.now() + READY_MS;
        while (!existsSync(`${prefix}${count - 1}`) && performance.now() < deadline)
          await sleep(50);
        // What was only needed to start is given back.
        await sleep(500);
        row.push(formatNumber(daemon.rss));
      } finally {
        await daemon.stop();
      }
    }
    table.push(row);
  }
  printTable(table);
}
