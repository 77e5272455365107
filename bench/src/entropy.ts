import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DaemonProcess, findRustRng } from './daemon-process.ts';
import type { Measured, Scenario } from './entropy-load.ts';
import { formatNumber, formatRatio, printTable, spread } from './stats.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 1);
const SCENARIOS: readonly Scenario[] = [
  { depth: 1, size: 64, seconds: SECONDS },
  { depth: 64, size: 64, seconds: SECONDS },
  { depth: 1, size: 65_536, seconds: SECONDS },
  { depth: 4, size: 65_536, seconds: SECONDS },
];

const exec = promisify(execFile);
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** One round against one daemon: a fresh guest runs every scenario. */
async function drive(daemon: DaemonProcess): Promise<Measured[]> {
  const args = [script('./entropy-driver.js'), daemon.socket, JSON.stringify(SCENARIOS)];
  const { stdout } = await exec(process.execPath, args);
  return JSON.parse(stdout) as Measured[];
}

/**
 * An entropy device in our framework against rust-vmm's daemon: same guest, rounds in turn. Without
 * the Rust daemon ours is measured alone.
 */
export async function entropy(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'node-vmm-bench-'));
  const rust = findRustRng();
  const daemons = [
    new DaemonProcess('node-vmm', join(directory, 'ours.sock'), process.execPath, [
      script('./entropy-daemon.js'),
      join(directory, 'ours.sock'),
    ]),
  ];
  if (rust === undefined) {
    console.log(
      '  vhost-device-rng is not here, so there is no ratio. To get it:\n' +
        '  cargo install vhost-device-rng --version 0.1.0 --root ~/.cache/node-vmm/vhost-device-rng-0.1.0',
    );
  } else {
    // It numbers its sockets.
    const prefix = join(directory, 'rust.sock');
    daemons.push(new DaemonProcess('rust-vmm', `${prefix}0`, rust, ['-s', prefix]));
  }
  try {
    await compare(daemons);
  } finally {
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

async function compare(daemons: readonly DaemonProcess[]): Promise<void> {
  const rounds: Measured[][][] = daemons.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    // Each goes first every other time.
    const order = [...daemons.keys()];
    if (round % 2 === 1) order.reverse();
    for (const d of order) rounds[d]?.push(await drive(daemons[d] as DaemonProcess));
  }
  const table = [['entropy', 'requests/s', 'MB/s', 'p50 us', 'p99 us', 'ratio to Rust']];
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
  for (const daemon of daemons) {
    console.log(`  ${daemon.name}: ${formatNumber(daemon.rss)} MB resident`);
  }
  console.log(
    `  ${ROUNDS} rounds of ${SECONDS} s in turn; ratio: median (least..most). Times are round trips, ` +
      'at depth n of n requests.',
  );
}
