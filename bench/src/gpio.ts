import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DaemonProcess, findRustDaemon } from './daemon-process.ts';
import type { GpioMeasured } from './gpio-load.ts';
import { type Placement, placed, placements } from './placement.ts';
import { formatNumber, formatRatio, printTable, spread } from './stats.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 6);
const SECONDS = process.env['BENCH_SECONDS'] ?? '1';
const LINES = 's8';
const SCENARIOS = ['requests, depth 1', 'requests, depth 64', 'edge on the host to interrupt'];

const exec = promisify(execFile);
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

interface Contestant {
  readonly daemon: DaemonProcess;
  /** Where edges are injected; rust-vmm's daemon has no such thing. */
  readonly control: string | undefined;
}

/** One round against one daemon: a fresh guest runs every scenario. */
async function drive({ daemon, control }: Contestant, cpu?: number): Promise<GpioMeasured[]> {
  const args = [script('./gpio-driver.js'), daemon.socket, SECONDS];
  if (control !== undefined) args.push(control);
  const [command = '', ...rest] = placed(cpu, process.execPath, args);
  const { stdout } = await exec(command, rest);
  return JSON.parse(stdout) as GpioMeasured[];
}

function start({ daemon: cpu }: Placement, directory: string): Contestant[] {
  const run = (name: string, program: string, args: readonly string[]): DaemonProcess => {
    const prefix = join(directory, name);
    const options = ['-s', prefix, '-c', '1', '-l', LINES];
    const [command = '', ...rest] = placed(cpu, program, [...args, ...options]);
    return new DaemonProcess(name, `${prefix}0`, command, rest);
  };
  const main = new URL('./main.js', import.meta.resolve('@node-vmm/vhost-device-gpio'));
  const control = join(directory, 'control');
  const ours = [fileURLToPath(main), '--control-socket', control];
  const list: Contestant[] = [{ daemon: run('node-vmm', process.execPath, ours), control }];
  const rust = findRustDaemon('vhost-device-gpio');
  if (rust !== undefined) list.push({ daemon: run('rust-vmm', rust, []), control: undefined });
  return list;
}

/**
 * Our GPIO daemon with simulated lines: requests, against rust-vmm's where that is here, and how long an
 * edge takes from the control socket to the guest's interrupt.
 */
export async function gpio(): Promise<void> {
  if (findRustDaemon('vhost-device-gpio') === undefined) {
    console.log(
      "  rust-vmm's vhost-device-gpio is not here, so there is no ratio. With libgpiod 2 or later:\n" +
        '  cargo install vhost-device-gpio --features mock_gpio --root ~/.cache/node-vmm/vhost-device-gpio-0.1.0',
    );
  }
  for (const placement of placements()) {
    const directory = mkdtempSync(join(tmpdir(), 'node-vmm-bench-'));
    const list = start(placement, directory);
    try {
      const rounds: GpioMeasured[][][] = list.map(() => []);
      for (let round = 0; round < ROUNDS; round++) {
        // Each goes first every other time.
        const order = [...list.entries()];
        if (round % 2 === 1) order.reverse();
        for (const [c, contestant] of order) {
          rounds[c]?.push(await drive(contestant, placement.driver));
        }
      }
      print(placement, list, rounds);
    } finally {
      await Promise.all(list.map(({ daemon }) => daemon.stop()));
      rmSync(directory, { recursive: true, force: true });
    }
  }
  console.log(`  ${ROUNDS} rounds in turn; ratio: median (least..most). Times are round trips.`);
}

function print(
  { name }: Placement,
  list: readonly Contestant[],
  rounds: readonly (readonly (readonly GpioMeasured[])[])[],
): void {
  const table = [[name, 'per second', 'p50 us', 'p99 us', 'ratio to Rust']];
  SCENARIOS.forEach((scenario, s) => {
    const of = (c: number, field: keyof GpioMeasured): number[] =>
      (rounds[c] ?? []).flatMap((measured) => measured[s]?.[field] ?? []);
    list.forEach(({ daemon }, c) => {
      const rates = of(c, 'requestsPerSecond');
      if (rates.length === 0) return;
      const rust = of(1, 'requestsPerSecond');
      const ratios = rates.map((rate, i) => rate / (rust[i] ?? Number.NaN));
      const cell = (field: keyof GpioMeasured): string => formatNumber(spread(of(c, field)).median);
      table.push([
        `${daemon.name}, ${scenario}`,
        cell('requestsPerSecond'),
        cell('p50'),
        cell('p99'),
        c === 0 && rust.length > 0 ? formatRatio(spread(ratios)) : '',
      ]);
    });
  });
  printTable(table);
}
