import type { DaemonOptions } from '@node-vmm/vhost-device-cli';
import {
  addDaemonOptions,
  count,
  daemonOptions,
  packageVersion,
  parseCommandLine,
  type RawDaemonOptions,
} from '@node-vmm/vhost-device-cli/options';
import { Command } from 'commander';
import type { GpioDeviceOptions } from './device.ts';

/** What one request gets without another wish, bytes; Linux asks for a cache line. */
const MAX_BYTES = 65_536;

/** The command line: what every daemon has, and what this device has. */
export type GpioOptions = DaemonOptions & GpioDeviceOptions;

/** What reading the command line came to: a run, or text to print on standard output. */
export type ParsedOptions = { readonly run: GpioOptions } | { readonly print: string };

function command(): Command {
  const program = new Command('vhost-device-gpio').description(
    'vhost-user gpio device: fills its guest’s buffers',
  );
  return addDaemonOptions(program)
    .option('--max-bytes <n>', 'most bytes that one request gets', count(MAX_BYTES), MAX_BYTES)
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version');
}

/**
 * Reads the command line.
 *
 * @param argv - without the interpreter and the script
 * @throws {CliError} USAGE
 */
export function parseOptions(argv: readonly string[]): ParsedOptions {
  const parsed = parseCommandLine<RawDaemonOptions & GpioDeviceOptions>(command(), argv);
  if ('print' in parsed) return parsed;
  const { maxBytes } = parsed.options;
  return { run: { ...daemonOptions(parsed.options), maxBytes } };
}
