// What a command line needs before anything else of the program is loaded: Commander and no more.
import { readFileSync } from 'node:fs';
import { type Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { DaemonOptions } from './daemon-options.ts';
import { findUser, type User } from './drop-privileges.ts';
import { CliError } from './errors.ts';
import { findGroup } from './group.ts';
import { LOG_LEVELS } from './log-levels.ts';

/** Most sockets of one daemon: each is a guest with its own device. */
export const SOCKET_COUNT_MAX = 256;
const WORKERS_MAX = 64;
const MODE_MAX = 0o777;

/** What reading the command line came to: options, or text to print on standard output. */
export type ParsedCommand<T> = { readonly options: T } | { readonly print: string };

/** Options of `addDaemonOptions` as Commander gives them: the socket path may be missing. */
export type RawDaemonOptions = Partial<Pick<DaemonOptions, 'socketPath'>> &
  Omit<DaemonOptions, 'socketPath' | 'xenMmap'> & { readonly xenMmap?: 'auto' | 'on' | 'off' };

/** The version of a package. @param manifest - URL of its package.json */
export function packageVersion(manifest: URL): string {
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/** Reads a number of 1 to `max`. */
export function count(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value < 1 || value > max) {
      throw new InvalidArgumentError(`Expected a number of 1 to ${max}.`);
    }
    return value;
  };
}

function mode(text: string): number {
  const value = Number.parseInt(text, 8);
  if (!/^[0-7]{3,4}$/.test(text) || value > MODE_MAX) {
    throw new InvalidArgumentError('Expected permissions in octal, such as 660.');
  }
  return value;
}

function group(text: string): number {
  const gid = findGroup(text);
  if (gid === undefined) throw new InvalidArgumentError('There is no such group.');
  return gid;
}

function user(text: string): User {
  const found = findUser(text);
  if (found === undefined) throw new InvalidArgumentError('There is no such user.');
  return found;
}

/** Adds what every daemon has: sockets, who may use them, threads, log. */
export function addDaemonOptions(command: Command): Command {
  return command
    .option('-s, --socket-path <path>', 'sockets are <path>0, <path>1, ...')
    .option('-c, --socket-count <n>', 'number of guests (sockets)', count(SOCKET_COUNT_MAX), 1)
    .option('--socket-mode <octal>', 'permissions of the sockets (default: by umask)', mode)
    .option('--socket-group <name|gid>', 'group that owns the sockets', group)
    .option('--user <name|uid>', 'become this user once sockets and devices are open', user)
    .addOption(
      new Option(
        '--xen-mmap <when>',
        "offer memory of Xen domains (auto: where there is Xen's privcmd)",
      )
        .choices(['auto', 'on', 'off'])
        .default('auto'),
    )
    .option('--restart-failed', 'make a device again that has failed, after 1 s and more')
    .addOption(
      new Option(
        '--exit-on-failure',
        'end with the first device that fails (default: with the last)',
      ).conflicts('restartFailed'),
    )
    .option('--workers <n>', 'threads that serve the guests', count(WORKERS_MAX), 1)
    .addOption(
      new Option('--log-level <level>', 'least severe log lines to write')
        .choices(LOG_LEVELS)
        .default('info'),
    )
    .option('--control-socket <path>', 'socket to drive the devices through (see vhost-device-ctl)')
    .option('--state-dir <dir>', 'where devices keep what a crash must not lose');
}

/**
 * Takes the daemon's own options out of all of them.
 *
 * @throws {CliError} USAGE without a socket path
 */
export function daemonOptions(raw: RawDaemonOptions): DaemonOptions {
  const { socketPath, socketCount, socketMode, socketGroup, xenMmap, workers, logLevel } = raw;
  const { user: runAs, restartFailed, exitOnFailure, controlSocket, stateDir } = raw;
  // Not Commander's to require: it would say so before it names an option that does not exist.
  if (socketPath === undefined) {
    throw new CliError('USAGE', "required option '-s, --socket-path <path>' not specified");
  }
  if (controlSocket === '') throw new CliError('USAGE', 'Cannot use an empty --control-socket');
  if (stateDir === '') throw new CliError('USAGE', 'Cannot use an empty --state-dir');
  if (socketPath === '') throw new CliError('USAGE', 'Cannot use an empty --socket-path');
  return {
    socketPath,
    socketCount,
    ...(socketMode === undefined ? {} : { socketMode }),
    ...(socketGroup === undefined ? {} : { socketGroup }),
    ...(runAs === undefined ? {} : { user: runAs }),
    ...(xenMmap === undefined || xenMmap === 'auto' ? {} : { xenMmap: xenMmap === 'on' }),
    ...(restartFailed === undefined ? {} : { restartFailed }),
    ...(exitOnFailure === undefined ? {} : { exitOnFailure }),
    workers,
    logLevel,
    ...(controlSocket === undefined ? {} : { controlSocket }),
    ...(stateDir === undefined ? {} : { stateDir }),
  };
}

/**
 * Reads a command line.
 *
 * @param argv - without the interpreter and the script
 * @throws {CliError} USAGE
 */
export function parseCommandLine<T extends object>(
  command: Command,
  argv: readonly string[],
): ParsedCommand<T> {
  let printed = '';
  command
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        printed += text;
      },
      writeErr: () => undefined,
    });
  try {
    command.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { print: printed };
    throw new CliError('USAGE', error.message.replace(/^error: /, ''), {}, { cause: error });
  }
  return { options: command.opts<T>() };
}
