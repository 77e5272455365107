import type { Poller } from '@node-vmm/vmm-sys-util';
import { parseAddress, unreadable } from '../device-list.ts';
import type { I2cError } from '../errors.ts';
import type { I2cHost } from '../i2c-host.ts';
import { At24c02 } from './at24c02.ts';
import { Ds1338 } from './ds1338.ts';
import type { I2cChip } from './i2c-chip.ts';
import { SimulatedBus } from './simulated-bus.ts';
import { SlowBus } from './slow-bus.ts';
import { Tmp105 } from './tmp105.ts';

/** A chip of a board: structured-cloneable, so that it reaches the worker that makes the board. */
export interface BoardEntry {
  readonly chip: string;
  readonly address: number;
  /** Milliseconds that each message to the chip takes, on the whole bus; default none. */
  readonly latency?: number;
}

/** Ours: the chips that there are, by the name that a board gives. */
export const CHIPS: ReadonlyMap<string, () => I2cChip> = new Map<string, () => I2cChip>([
  ['ds1338', () => new Ds1338()],
  ['24c02', () => new At24c02()],
  ['tmp105', () => new Tmp105()],
]);

const usage = (board: string, state: string): I2cError => unreadable('board', board, state);

/**
 * Reads a board: `chip@address[,chip@address]...`.
 *
 * @throws {I2cError} USAGE
 */
export function parseBoard(board: string): BoardEntry[] {
  // Room for boards that are scripts; they come in a later version.
  if (/[/\\]|\.[cm]?[jt]s$/.test(board)) {
    throw usage(board, 'boards from files are not supported yet; write chip@address,...');
  }
  const taken = new Set<number>();
  return board.split(',').map((text) => {
    const [chip = '', address, ...rest] = text.trim().split('@');
    if (address === undefined || rest.length > 0) {
      throw usage(board, `"${text}" is no chip@address, such as ds1338@0x68`);
    }
    if (!CHIPS.has(chip)) {
      throw usage(board, `there is no chip "${chip}", only ${[...CHIPS.keys()].join(', ')}`);
    }
    const parsed = parseAddress(address, (state) => usage(board, state));
    if (taken.has(parsed)) throw usage(board, `address ${address} is given twice`);
    taken.add(parsed);
    return { chip, address: parsed };
  });
}

/**
 * Makes a bus with fresh chips.
 *
 * @param poller - of the thread that uses the bus, for chips that take their time
 * @throws {I2cError} USAGE when an entry names no chip that there is
 * @throws {SysError} when there are no descriptors left
 */
export function makeBoard(entries: readonly BoardEntry[], poller: Poller): I2cHost {
  const bus = new SimulatedBus();
  for (const { chip, address } of entries) {
    const make = CHIPS.get(chip);
    if (make === undefined) throw usage(chip, 'there is no such chip');
    bus.attach(address, make());
  }
  const latencies = new Map(entries.map(({ address, latency = 0 }) => [address, latency]));
  if ([...latencies.values()].every((latency) => latency === 0)) return bus;
  return new SlowBus(bus, (address) => latencies.get(address) ?? 0, poller);
}
