import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NotificationMode } from '@node-vmm/ioreq-eventfd';
import { Command, CommanderError, Option } from 'commander';
import { BridgeError } from './errors.ts';
import { deviceByName, SUPPORTED_DEVICES } from './supported-devices.ts';

/** A command line that makes sense. */
export interface Arguments {
  /** Directory with `<name>.sock<n>`, where one was given. */
  readonly directory: string | undefined;
  /** Socket path by device name. */
  readonly sockets: ReadonlyMap<string, string>;
  /** Back-end command by device name. */
  readonly spawn: ReadonlyMap<string, string>;
  readonly notification: NotificationMode;
  readonly xenstore: string | undefined;
  readonly logLevel: string;
}

const NAMES = SUPPORTED_DEVICES.map((device) => device.name).join(', ');

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** What a command line came to: a run, or text for standard output. */
export type ParsedArguments = { readonly run: Arguments } | { readonly print: string };

interface RawOptions {
  readonly socketPath: string[];
  readonly name: string[];
  readonly spawn: string[];
  readonly notification: NotificationMode;
  readonly xenstore?: string;
  readonly logLevel: string;
}

function createCommand(): Command {
  return new Command('xen-vhost-master')
    .description('Connects virtio devices of Xen guests to vhost-user back-ends.')
    .version(version(), '-V, --version')
    .option(
      '-s, --socket-path <path>',
      'socket of the back-end that --name names, or a directory\nwith sockets <name>.sock<n>; repeatable',
      collect,
      [],
    )
    .option('-n, --name <device>', `device type of the socket: ${NAMES}; repeatable`, collect, [])
    .option(
      '--spawn <name=command>',
      'start this back-end for each device of a type, with\n--socket-path appended; repeatable',
      collect,
      [],
    )
    .addOption(
      new Option('--notification <mode>', "how the guest's notifications and interrupts travel")
        .choices(['auto', 'kernel', 'user'])
        .default('auto'),
    )
    .option('-f, --foreign-mapping', 'map guest memory by foreign mapping (always done)')
    .option('--xenstore <path>', 'socket or device of the xenstore')
    .addOption(
      new Option('--log-level <level>', 'least severe log lines to write')
        .choices(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info'),
    )
    .addHelpText(
      'after',
      `
Examples:
  xen-vhost-master --socket-path /root/vi2c.sock0 --name i2c
  xen-vhost-master --socket-path /run/vhost
  xen-vhost-master --spawn "i2c=vhost-device-i2c --device-list 0:0x20"`,
    )
    .allowExcessArguments(false)
    .exitOverride();
}

/** How the program is called, for standard error after a bad command line. */
export function usageText(): string {
  return createCommand().helpInformation();
}

/**
 * Reads a command line.
 *
 * @param argv - without interpreter and script
 * @throws {BridgeError} USAGE
 */
export function parseArguments(argv: readonly string[]): ParsedArguments {
  let printed = '';
  const command = createCommand().configureOutput({
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
    throw new BridgeError('USAGE', error.message.replace(/^error: /, ''), { cause: error });
  }
  return { run: check(command.opts<RawOptions>()) };
}

function fail(message: string): never {
  throw new BridgeError('USAGE', message);
}

function check(options: RawOptions): Arguments {
  const { socketPath, name, spawn, notification, xenstore, logLevel } = options;
  const directories = socketPath.filter(isDirectory);
  if (directories.length > 1) fail('--socket-path was given two directories; one is enough');
  const files = socketPath.filter((path) => !directories.includes(path));
  const checked: Arguments = {
    directory: directories[0],
    sockets: pairSockets(files, name),
    spawn: parseSpawn(spawn),
    notification,
    xenstore,
    logLevel,
  };
  if (checked.directory === undefined && files.length === 0 && spawn.length === 0) {
    fail('say where the back-ends are: --socket-path with --name, a directory, or --spawn');
  }
  return checked;
}

function pairSockets(paths: readonly string[], names: readonly string[]): Map<string, string> {
  if (paths.length !== names.length) {
    const count = `${paths.length} of the one (${paths.join(', ') || 'none'}), ${names.length} of the other`;
    fail(
      `every --socket-path that is no directory needs a --name and the reverse: there are ${count}`,
    );
  }
  const sockets = new Map<string, string>();
  paths.forEach((path, i) => {
    const name = deviceName(names[i] as string, '--name');
    if (sockets.has(name)) fail(`--name ${name} was given twice; use a directory of sockets`);
    if (!isDirectory(dirname(path))) {
      fail(`--socket-path ${path} is in a directory that does not exist; create ${dirname(path)}`);
    }
    sockets.set(name, path);
  });
  return sockets;
}

function parseSpawn(items: readonly string[]): Map<string, string> {
  const commands = new Map<string, string>();
  for (const item of items) {
    const split = item.indexOf('=');
    const template = item.slice(split + 1).trim();
    if (split < 1 || template === '') fail(`--spawn expects <name>=<command>, got "${item}"`);
    const name = deviceName(item.slice(0, split), '--spawn');
    if (commands.has(name)) fail(`--spawn ${name} was given twice; one serves all its devices`);
    commands.set(name, template);
  }
  return commands;
}

function deviceName(value: string, option: string): string {
  if (deviceByName(value) === undefined) {
    fail(`${option} ${value} is no device type; those are: ${NAMES}`);
  }
  return value;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
