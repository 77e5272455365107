import { readFileSync } from 'node:fs';
import { UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type DeviceListEntry, parseDeviceList } from './device-list.ts';
import { I2cError } from './errors.ts';
import { type BoardEntry, DEFAULT_BOARD, parseBoard } from './simulated/board.ts';

/** Most sockets of one daemon: each is a guest with its own device. */
export const SOCKET_COUNT_MAX = 256;
const WORKERS_MAX = 64;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** The command line, read and checked as far as that goes without looking at the host. */
export interface Args {
  /** Sockets are `<socketPath>0` .. `<socketPath><socketCount - 1>`. */
  readonly socketPath: string;
  readonly socketCount: number;
  /** Threads that serve the devices. */
  readonly workers: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** Chips to simulate in place of the host's adapters. */
  readonly board: readonly BoardEntry[] | undefined;
  /** Adapters and addresses; may be empty with `board`, which then allows all its chips. */
  readonly devices: readonly DeviceListEntry[];
}

/** What reading the command line came to: a run, or text to print on standard output. */
export type ParsedArgs = { readonly run: Args } | { readonly print: string };

interface RawOptions {
  readonly socketPath: string;
  readonly socketCount: number;
  readonly deviceList?: string;
  readonly simulate?: string | true;
  readonly workers: number;
  readonly logLevel: Args['logLevel'];
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function count(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value < 1 || value > max) {
      throw new InvalidArgumentError(`Expected a number of 1 to ${max}.`);
    }
    return value;
  };
}

function command(): Command {
  return new Command('vhost-device-i2c')
    .description('vhost-user I2C device: gives guests access to I2C adapters of the host')
    .requiredOption('-s, --socket-path <path>', 'sockets are <path>0, <path>1, ...')
    .option('-c, --socket-count <n>', 'number of guests (sockets)', count(SOCKET_COUNT_MAX), 1)
    .option(
      '-l, --device-list <list>',
      'adapters and the addresses on them that guests may reach:\n<bus|name>:<addr>[:<addr>][,<bus|name>:<addr>...]',
    )
    .option(
      '--simulate [board]',
      `simulated chips instead of the host's: <chip>@<addr>[,<chip>@<addr>...]\n(default board: ${DEFAULT_BOARD})`,
    )
    .option('--workers <n>', 'threads that serve the guests', count(WORKERS_MAX), 1)
    .addOption(
      new Option('--log-level <level>', 'least severe log lines to write')
        .choices(LOG_LEVELS)
        .default('info'),
    )
    .version(version(), '-V, --version')
    .allowExcessArguments(false)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
}

/** How the program is called, for standard error after a bad command line. */
export function usageText(): string {
  return command().helpInformation();
}

/**
 * Reads the command line.
 *
 * @param argv - without the interpreter and the script
 * @throws {I2cError} USAGE
 */
export function parseArgs(argv: readonly string[]): ParsedArgs {
  let printed = '';
  const program = command().configureOutput({
    writeOut: (text) => {
      printed += text;
    },
    writeErr: () => undefined,
  });
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { print: printed };
    throw new I2cError('USAGE', error.message.replace(/^error: /, ''), { cause: error });
  }
  return { run: check(program.opts<RawOptions>()) };
}

function check(options: RawOptions): Args {
  const { socketPath, socketCount, workers, logLevel, simulate, deviceList } = options;
  const longest = `${socketPath}${socketCount - 1}`;
  if (socketPath === '' || Buffer.byteLength(longest) > UNIX_PATH_MAX) {
    throw new I2cError(
      'USAGE',
      `Cannot use socket path "${longest}": it must have 1 to ${UNIX_PATH_MAX} bytes, number included`,
    );
  }
  if (deviceList === undefined && simulate === undefined) {
    throw new I2cError('USAGE', 'Cannot start without devices: give --device-list or --simulate');
  }
  const board =
    simulate === undefined ? undefined : parseBoard(simulate === true ? DEFAULT_BOARD : simulate);
  const devices = deviceList === undefined ? [] : parseDeviceList(deviceList);
  return { socketPath, socketCount, workers, logLevel, board, devices };
}
