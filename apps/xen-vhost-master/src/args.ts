import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NotificationMode } from '@node-vmm/ioreq-eventfd';
import { Command, InvalidArgumentError, Option } from 'commander';
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

function deviceName(value: string): string {
  if (deviceByName(value) === undefined) {
    throw new InvalidArgumentError(`It is no device type; those are: ${NAMES}.`);
  }
  return value;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The program's options; `parse` on it exits by itself for `--help`, `--version` and bad input. */
export function createCommand(version: string): Command {
  return new Command('xen-vhost-master')
    .description('Connects virtio devices of Xen guests to vhost-user back-ends.')
    .version(version)
    .option(
      '-s, --socket-path <path>',
      'socket of the back-end named by the next --name, or a directory with <name>.sock<n>; repeatable',
      collect,
      [],
    )
    .option(
      '-n, --name <device>',
      'device type of the socket: i2c, gpio, rng, ...; repeatable',
      (value: string, previous: string[]) => collect(deviceName(value), previous),
      [],
    )
    .option(
      '--spawn <name=command>',
      'start this back-end for each device of a type, with --socket-path appended; repeatable',
      collect,
      [],
    )
    .addOption(
      new Option('--notification <mode>', 'how guest notifications and interrupts travel')
        .choices(['auto', 'kernel', 'user'])
        .default('auto'),
    )
    .option('-f, --foreign-mapping', 'map guest memory by foreign mapping (the default)')
    .option('--xenstore <path>', 'socket or device of the xenstore')
    .addOption(
      new Option('--log-level <level>', 'least severity of log lines')
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
    .showHelpAfterError();
}

/**
 * Parses a command line.
 *
 * @param argv - without interpreter and script
 * @throws {CommanderError} through `command.error` when the options do not fit together
 */
export function parseArguments(command: Command, argv: readonly string[]): Arguments {
  command.parse(argv, { from: 'user' });
  const options = command.opts<{
    socketPath: string[];
    name: string[];
    spawn: string[];
    notification: NotificationMode;
    xenstore?: string;
    logLevel: string;
  }>();
  const fail = (message: string): never => command.error(`error: ${message}`, { exitCode: 2 });
  const directories = options.socketPath.filter(isDirectory);
  const files = options.socketPath.filter((path) => !directories.includes(path));
  const [directory] = directories;
  if (directories.length > 1) fail('--socket-path was given two directories; one is enough');
  if (files.length !== options.name.length) {
    fail(
      `every socket needs a device type and the reverse: ${files.length} --socket-path (${
        files.join(', ') || 'none'
      }), ${options.name.length} --name (${options.name.join(', ') || 'none'})`,
    );
  }
  const sockets = new Map<string, string>();
  files.forEach((path, i) => {
    const name = options.name[i] as string;
    if (sockets.has(name)) fail(`--name ${name} was given twice; use a directory of sockets`);
    if (!isDirectory(dirname(path))) {
      fail(`the directory of --socket-path ${path} does not exist: create ${dirname(path)} first`);
    }
    sockets.set(name, path);
  });
  const spawn = new Map<string, string>();
  for (const item of options.spawn) {
    const match = /^([^=]+)=(.+)$/.exec(item);
    const name = match?.[1];
    const template = match?.[2];
    if (name === undefined || template === undefined || deviceByName(name) === undefined) {
      fail(`--spawn expects <name>=<command> with a device type of ${NAMES}, got "${item}"`);
    } else {
      spawn.set(name, template);
    }
  }
  if (directory === undefined && sockets.size === 0 && spawn.size === 0) {
    fail('say where the back-ends are: --socket-path with --name, a directory, or --spawn');
  }
  return {
    directory,
    sockets,
    spawn,
    notification: options.notification,
    xenstore: options.xenstore,
    logLevel: options.logLevel,
  };
}
