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
import { RNG_PERIOD_MS } from './limits.ts';

/** What the command line says of the device. */
export interface RngCommandLine {
  /** `getrandom`, or a path. */
  readonly rngSource: string;
  /** Milliseconds. */
  readonly period: number;
  /** Bytes that each guest gets in a period; undefined: any number. */
  readonly maxBytes?: number;
}

/** The command line: what every daemon has, and what this device has. */
export type RngOptions = DaemonOptions & RngCommandLine;

/** What reading the command line came to: a run, or text to print on standard output. */
export type ParsedOptions = { readonly run: RngOptions } | { readonly print: string };

function command(): Command {
  const program = new Command('vhost-device-rng').description(
    'vhost-user entropy device: gives guests random bytes of the host',
  );
  return addDaemonOptions(program)
    .option(
      '-f, --rng-source <source>',
      "getrandom (the kernel's generator), or the path of a file, device or FIFO",
      'getrandom',
    )
    .option(
      '-p, --period <ms>',
      'time in which a guest gets --max-bytes',
      count(RNG_PERIOD_MS),
      RNG_PERIOD_MS,
    )
    .option(
      '-m, --max-bytes <n>',
      'most bytes that each guest gets in a period (default: any number)',
      count(Number.MAX_SAFE_INTEGER),
    )
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version');
}

/**
 * Reads the command line.
 *
 * @param argv - without the interpreter and the script
 * @throws {CliError} USAGE
 */
export function parseOptions(argv: readonly string[]): ParsedOptions {
  const parsed = parseCommandLine<RawDaemonOptions & RngCommandLine>(command(), argv);
  if ('print' in parsed) return parsed;
  const { rngSource, period, maxBytes } = parsed.options;
  const limit = maxBytes === undefined ? {} : { maxBytes };
  return { run: { ...daemonOptions(parsed.options), rngSource, period, ...limit } };
}
