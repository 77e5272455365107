import type { DaemonOptions } from '@node-vmm/vhost-device-cli';
import {
  addDaemonOptions,
  daemonOptions,
  listOf,
  packageVersion,
  parseCommandLine,
  type RawDaemonOptions,
} from '@node-vmm/vhost-device-cli/options';
import { Command, Option } from 'commander';
import { type DeviceListEntry, parseDeviceList } from './device-list.ts';
import { I2cError } from './errors.ts';
import type { BoardEntry } from './simulated/board.ts';
import { DEFAULT_BOARD } from './simulated/default-board.ts';

/** The command line, read and checked as far as that goes without looking at the host. */
export interface Args extends DaemonOptions {
  /** Chips to simulate in place of the host's adapters. */
  readonly board: readonly BoardEntry[] | undefined;
  /** Adapters and addresses; may be empty with `board`, which then allows all its chips. */
  readonly devices: readonly DeviceListEntry[];
  readonly splitGroups: boolean;
  readonly allowNoZeroLength: boolean;
}

/** What reading the command line came to: a run, or text to print on standard output. */
export type ParsedArgs = { readonly run: Args } | { readonly print: string };

interface RawOptions extends RawDaemonOptions {
  readonly deviceList?: string;
  readonly simulate?: string;
  readonly splitGroups?: true;
  readonly allowNoZeroLength?: true;
}

function command(): Command {
  const program = new Command('vhost-device-i2c').description(
    'vhost-user I2C device: gives guests access to I2C adapters of the host',
  );
  return addDaemonOptions(program)
    .option(
      '-l, --device-list <list>',
      'adapters and the addresses on them that guests may reach:\n<bus|name>:<addr>[:<addr>][,<bus|name>:<addr>...]\n(10-bit addresses: 0xa000 to 0xa3ff, as in /sys); repeatable',
      listOf(','),
    )
    .addOption(
      new Option(
        '--simulate [board]',
        "simulated chips instead of the host's: <chip>@<addr>[,<chip>@<addr>...];\nrepeatable",
      )
        .preset(DEFAULT_BOARD)
        .argParser(listOf(',')),
    )
    .option(
      '--split-groups',
      "make several transfers, with a STOP between them, of a guest's transfer that one cannot be\n(over 42 messages, or chips on several adapters); without it such a transfer fails",
    )
    .option(
      '--allow-no-zero-length',
      "serve drivers that do not negotiate VIRTIO_I2C_F_ZERO_LENGTH_REQUEST, such as Zephyr's;\nwithout it all their requests fail",
    )
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version');
}

/**
 * Reads the command line.
 *
 * @param argv - without the interpreter and the script
 * @throws {CliError} USAGE
 * @throws {I2cError} USAGE
 */
export async function parseArgs(argv: readonly string[]): Promise<ParsedArgs> {
  const parsed = parseCommandLine<RawOptions>(command(), argv);
  if ('print' in parsed) return parsed;
  const { simulate, deviceList, splitGroups, allowNoZeroLength } = parsed.options;
  const options = daemonOptions(parsed.options);
  if (deviceList === undefined && simulate === undefined) {
    throw new I2cError('USAGE', 'Cannot start without devices: give --device-list or --simulate');
  }
  // Here and not above: who asks for a version waits for no native code.
  const { parseBoard } = await import('./simulated/board.ts');
  const board = simulate === undefined ? undefined : parseBoard(simulate);
  const devices = deviceList === undefined ? [] : parseDeviceList(deviceList);
  const rules = {
    splitGroups: splitGroups === true,
    allowNoZeroLength: allowNoZeroLength === true,
  };
  return { run: { ...options, board, devices, ...rules } };
}
