// What a command line needs before anything else of the program is loaded: Commander and no more.
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { DaemonOptions, PassedSocket, SocketOptions } from './daemon-options.ts';
import { findUser, type User } from './drop-privileges.ts';
import { CliError } from './errors.ts';
import { findGroup } from './group.ts';
import { LOG_LEVELS } from './log-levels.ts';
import { passedSockets } from './service-environment.ts';

export * from './command-line.ts';
export { parseMetricsAddress } from './metrics/address.ts';
export * from './path-problem.ts';

/** Ours: most sockets of one daemon: each is a guest with its own device. */
export const SOCKET_COUNT_MAX = 256;
const WORKERS_MAX = 64;
const MODE_MAX = 0o777;
/** As `foreignLimit` of `VhostUserDaemonOptions`, which is mapped 2 MiB at a time, bytes. */
const FOREIGN_MIN = 2 * 2 ** 20;
const FOREIGN_MAX = 2 ** 40;
/** Those below are standard input, output and error. */
const FIRST_FD = 3;
const FD_MAX = 1 << 20;

/** Options of `addDaemonOptions` as Commander gives them. */
export type RawDaemonOptions = Omit<
  DaemonOptions,
  'socketCount' | 'numberedSockets' | 'passedSockets' | 'workers' | 'xenMmap' | 'memSlots'
> & {
  readonly socketCount?: number;
  readonly fd?: number;
  readonly workers?: number;
  readonly xenMmap?: 'auto' | 'on' | 'off';
  readonly memSlots?: 'auto' | 'on' | 'off';
  readonly supervisedBy?: SupervisedSockets;
};

/** Where a serving process listens for its supervisor. */
interface SupervisedSockets {
  readonly socketPath: string;
  readonly socketCount: number;
}

/** What management software asks a back-end for: `@VHostUserBackendCapabilities` of QEMU's vhost-user.json. */
export interface Capabilities {
  /** Kind of device, as the schema names it: `rng`. */
  readonly type: string;
  /** Options of this kind of device that the schema has names for. */
  readonly features: readonly string[];
}

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

/**
 * Reads a list of which the option may give parts, again and again: they add up in their order.
 *
 * @param separator - what stands between the entries of the list
 */
export function listOf(separator: string): (text: string, before?: string) => string {
  return (text, before) => (before === undefined ? text : `${before}${separator}${text}`);
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

/** `<count>:<prefix>`, from `supervise`. */
function supervisedSockets(text: string): SupervisedSockets {
  const [, socketCount, socketPath] = /^([0-9]+):(.+)$/.exec(text) ?? [];
  if (socketPath === undefined) throw new InvalidArgumentError('Expected <count>:<prefix>.');
  return { socketPath, socketCount: Number(socketCount) };
}

/** Bytes, as `16M`: whole pages that a daemon may keep mapped of a Xen domain. */
function foreignBytes(text: string): number {
  const [, digits = '', unit = ''] = /^([0-9]{1,12})([KMG]?)$/.exec(text) ?? [];
  const bytes = digits === '' ? 0 : Number(digits) * 1024 ** ' KMG'.indexOf(unit || ' ');
  if (bytes < FOREIGN_MIN || bytes > FOREIGN_MAX) {
    throw new InvalidArgumentError('Expected 2M to 1024G: bytes, or KiB, MiB, GiB with K, M, G.');
  }
  return bytes;
}

function descriptor(text: string): number {
  const fd = Number(text);
  if (!/^[0-9]+$/.test(text) || fd < FIRST_FD || fd > FD_MAX) {
    throw new InvalidArgumentError(`Expected a descriptor of ${FIRST_FD} or more.`);
  }
  return fd;
}

/**
 * Adds what every daemon has: sockets, who may use them, threads, log.
 *
 * @param command - named as the program is: `vhost-device-rng`
 * @param capabilities - what `--print-capabilities` prints; default the type that the name ends in, and no
 * features
 */
export function addDaemonOptions(command: Command, capabilities?: Capabilities): Command {
  const type = command.name().replace(/^vhost-device-/, '');
  return command
    .option('-s, --socket-path <path>', 'the socket; with --socket-count <path>0, <path>1, ...')
    .option('-c, --socket-count <n>', 'number of guests (sockets)', count(SOCKET_COUNT_MAX))
    .addOption(
      new Option('--fd <n>', 'socket that is open already: it listens, or is connected')
        .argParser(descriptor)
        .conflicts(['socketPath', 'socketCount', 'socketMode', 'socketGroup']),
    )
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
    .option(
      '--foreign-limit <size>',
      'memory of a Xen domain that stays mapped unused: 2M and more (default: 16M)',
      foreignBytes,
    )
    .addOption(
      new Option(
        '--mem-slots <when>',
        'take more than 8 memory regions of a guest (auto: with --supervised)',
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
    .option(
      '--workers <n>',
      'threads that serve the guests (default: 1, or as --queue-workers)',
      count(WORKERS_MAX),
    )
    .option(
      '--queue-workers <n>',
      'most threads that serve the queues of one guest (default: 1)',
      count(WORKERS_MAX),
    )
    .addOption(
      new Option('--log-level <level>', 'least severe log lines to write')
        .choices(LOG_LEVELS)
        .default('info'),
    )
    .option('--control-socket <path>', 'socket to drive the devices through (see vhost-device-ctl)')
    .option('--state-dir <dir>', 'where devices keep what a crash must not lose')
    .option(
      '--supervised',
      'serve from another process, which is started again when it dies; front-ends see nothing of it',
    )
    .addOption(new Option('--supervised-by <sockets>').argParser(supervisedSockets).hideHelp())
    .addOption(
      new Option('--print-capabilities', 'print what the back-end is, as JSON, and end').preset(
        `${JSON.stringify(capabilities ?? { type, features: [] })}\n`,
      ),
    );
}

/**
 * Takes the daemon's own options out of all of them. Where no socket is named it is the service manager
 * that passes them.
 *
 * @throws {CliError} USAGE without a socket, BAD_ENVIRONMENT
 */
export function daemonOptions(
  raw: RawDaemonOptions,
  env: NodeJS.ProcessEnv = process.env,
): DaemonOptions {
  const { socketMode, socketGroup, xenMmap, memSlots, queueWorkers, logLevel } = raw;
  const { user: runAs, restartFailed, exitOnFailure, controlSocket, stateDir } = raw;
  const { supervised, supervisedBy, foreignLimit } = raw;
  const { workers = queueWorkers ?? 1 } = raw;
  if ((queueWorkers ?? 1) > workers) {
    throw new CliError(
      'USAGE',
      `Cannot use ${queueWorkers} --queue-workers of ${workers} --workers`,
    );
  }
  return {
    ...(supervisedBy === undefined
      ? sockets(raw, passedSockets(env, process.pid))
      : { ...supervisedBy, numberedSockets: true, servesSupervisor: true }),
    ...(supervised === true && supervisedBy === undefined ? { supervised } : {}),
    ...(socketMode === undefined ? {} : { socketMode }),
    ...(socketGroup === undefined ? {} : { socketGroup }),
    ...(runAs === undefined ? {} : { user: runAs }),
    ...(xenMmap === undefined || xenMmap === 'auto' ? {} : { xenMmap: xenMmap === 'on' }),
    ...(foreignLimit === undefined ? {} : { foreignLimit }),
    ...(memSlots === undefined || memSlots === 'auto' ? {} : { memSlots: memSlots === 'on' }),
    ...(restartFailed === undefined ? {} : { restartFailed }),
    ...(exitOnFailure === undefined ? {} : { exitOnFailure }),
    workers,
    ...(queueWorkers === undefined ? {} : { queueWorkers }),
    logLevel,
    ...(controlSocket === undefined ? {} : { controlSocket }),
    ...(stateDir === undefined ? {} : { stateDir }),
  };
}

function sockets(raw: RawDaemonOptions, passed: readonly PassedSocket[]): SocketOptions {
  const { socketPath, socketCount, socketMode, socketGroup, fd } = raw;
  if (fd !== undefined) {
    return { socketCount: 1, passedSockets: [{ fd, name: `--fd ${fd}` }] };
  }
  if (passed.length > 0) {
    const given =
      (socketPath !== undefined && '--socket-path') ||
      (socketMode !== undefined && '--socket-mode') ||
      (socketGroup !== undefined && '--socket-group');
    if (given) {
      throw new CliError(
        'USAGE',
        `Cannot use ${given}: the service manager has opened the sockets`,
      );
    }
    if (socketCount !== undefined && socketCount !== passed.length) {
      throw new CliError(
        'USAGE',
        `Cannot serve --socket-count ${socketCount}: the service manager has opened ${passed.length} sockets`,
      );
    }
    if (passed.length > SOCKET_COUNT_MAX) {
      throw new CliError('USAGE', `Cannot serve over ${SOCKET_COUNT_MAX} sockets`);
    }
    return { socketCount: passed.length, passedSockets: passed };
  }
  // Not Commander's to require: it would say so before it names an option that does not exist.
  if (socketPath === undefined) {
    throw new CliError('USAGE', "required option '-s, --socket-path <path>' not specified");
  }
  if (socketCount === undefined) return { socketPath, socketCount: 1 };
  return { socketPath, socketCount, numberedSockets: true };
}
