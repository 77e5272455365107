import type { DaemonOptions } from '@node-vmm/vhost-device-cli';
import {
  addDaemonOptions,
  daemonOptions,
  listOf,
  packageVersion,
  parseCommandLine,
  type RawDaemonOptions,
} from '@node-vmm/vhost-device-cli/options';
import { Command } from 'commander';
import { type DeviceListEntry, parseDeviceList } from './device-list.ts';
import { GpioError } from './errors.ts';

/** The command line, read and checked as far as that goes without looking at the host. */
export interface GpioOptions extends DaemonOptions {
  /** One for each socket. */
  readonly devices: readonly DeviceListEntry[];
  /** Names of the lines, for each socket: `a,b,,d`; '' where none were given. */
  readonly lineNames: readonly string[];
}

/** What reading the command line came to: a run, or text to print on standard output. */
export type ParsedOptions = { readonly run: GpioOptions } | { readonly print: string };

interface RawOptions extends RawDaemonOptions {
  readonly deviceList?: string;
  readonly lineNames?: string;
}

function command(): Command {
  const program = new Command('vhost-device-gpio').description(
    'vhost-user GPIO device: gives guests GPIO lines, of the host or simulated',
  );
  return addDaemonOptions(program)
    .option(
      '-l, --device-list <list>',
      'for each socket a chip of the host, by number or name, or s and a number\nof simulated lines: <chip>|s<lines>[:<chip>|s<lines>...]; repeatable',
      listOf(':'),
    )
    .option(
      '--line-names <list>',
      'names of the lines, for each socket: [<name>][,[<name>]...][:...]; repeatable',
      listOf(':'),
    )
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version');
}

/**
 * Reads the command line.
 *
 * @param argv - without the interpreter and the script
 * @throws {CliError} USAGE
 * @throws {GpioError} USAGE
 */
export function parseOptions(argv: readonly string[]): ParsedOptions {
  const parsed = parseCommandLine<RawOptions>(command(), argv);
  if ('print' in parsed) return parsed;
  const { deviceList, lineNames = '' } = parsed.options;
  const options = daemonOptions(parsed.options);
  if (deviceList === undefined) {
    throw new GpioError('USAGE', 'Cannot start without devices: give --device-list');
  }
  const listed = parseDeviceList(deviceList);
  const names = lineNames === '' ? [] : lineNames.split(':');
  if (names.length > listed.length) {
    const text = `Cannot read line names "${lineNames}": they are for ${names.length} devices, and there are ${listed.length}`;
    throw new GpioError('USAGE', text);
  }
  // Simulated lines are as many as anyone wants: one entry will do for all sockets.
  const [only] = listed;
  const { socketCount } = options;
  const shared = listed.length === 1 && only?.kind === 'simulated';
  if (!shared && listed.length !== socketCount) {
    const text = `Cannot serve ${socketCount} sockets with ${listed.length} devices: --device-list needs one for each`;
    throw new GpioError('USAGE', text);
  }
  const of = <T>(list: readonly T[], index: number): T | undefined => list[shared ? 0 : index];
  const devices = Array.from({ length: socketCount }, (_, i) => of(listed, i)).filter(
    (entry) => entry !== undefined,
  );
  const namesOf = devices.map((_, i) => of(names, i) ?? '');
  return { run: { ...options, devices, lineNames: namesOf } };
}
