import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NotificationMode } from '@node-vmm/ioreq-eventfd';
import { Command, CommanderError, Option } from 'commander';
import { BridgeError } from './errors.ts';
import { DEVICE_NAMES, isDirectory } from './fields.ts';
import {
  type Arguments,
  completeSettings,
  findTwice,
  LOG_LEVELS,
  type LogLevel,
  mergeSettings,
  NOTIFICATION_MODES,
  type Settings,
} from './settings.ts';
import { deviceByName } from './supported-devices.ts';
import { parseToldDevice, placeOf } from './told-device.ts';
import { parseVirtioDiskRule, ruleSubject } from './virtio-disk-rule.ts';

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
  readonly virtioDisk: string[];
  readonly device: string[];
  readonly notification?: NotificationMode;
  readonly xenstore?: string;
  readonly logLevel?: LogLevel;
  readonly config?: string;
  readonly printConfig?: boolean;
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
    .option(
      '-n, --name <device>',
      `device type of the socket: ${DEVICE_NAMES}; repeatable`,
      collect,
      [],
    )
    .option(
      '--spawn <name=command>',
      'start this back-end for each device of a type, with\n--socket-path appended; repeatable',
      collect,
      [],
    )
    .option(
      '--virtio-disk <disk=device>',
      "[DOMAIN:]VDEV=TYPE: this virtio disk of a guest's\nconfiguration is a device of that type; repeatable",
      collect,
      [],
    )
    .option(
      '--device <device>',
      'a device that no toolstack announces:\nTYPE,domain=NAME|ID,base=ADDRESS,irq=N[,trigger=level|edge]\n[,memory=BASE+SIZE[:BASE+SIZE...]][,socket=PATH]; repeatable',
      collect,
      [],
    )
    .addOption(
      new Option(
        '--notification <mode>',
        "how the guest's notifications and interrupts travel\n(default: auto)",
      ).choices(NOTIFICATION_MODES),
    )
    .option('-f, --foreign-mapping', 'map guest memory by foreign mapping (always done)')
    .option('--xenstore <path>', 'socket or device of the xenstore')
    .addOption(
      new Option('--log-level <level>', 'least severe log lines to write (default: info)').choices(
        LOG_LEVELS,
      ),
    )
    .option('--config <file>', 'read settings from a YAML file; the command line comes first')
    .option('--print-config', 'print the settings as such a file, and end')
    .addHelpText(
      'after',
      `
Examples:
  xen-vhost-master --socket-path /root/vi2c.sock0 --name i2c
  xen-vhost-master --socket-path /run/vhost
  xen-vhost-master --spawn "i2c=vhost-device-i2c --device-list 0:0x20"
  xen-vhost-master --socket-path /run/vhost --virtio-disk xvda=i2c
  xen-vhost-master --socket-path /run/vhost --device i2c,domain=guest1,base=0xe0000000,irq=5
  xen-vhost-master --config /etc/xen/vhost.yaml`,
    )
    .allowExcessArguments(false)
    .exitOverride();
}

/** How the program is called, for standard error after a bad command line. */
export function usageText(): string {
  return createCommand().helpInformation();
}

/**
 * Reads a command line, and the configuration file that it names.
 *
 * @param argv - without interpreter and script
 * @throws {BridgeError} USAGE, BAD_CONFIG
 */
export async function parseArguments(argv: readonly string[]): Promise<ParsedArguments> {
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
  const options = command.opts<RawOptions>();
  const commandLine = readOptions(options);
  if (options.config === undefined && options.printConfig !== true) {
    return { run: completeSettings(commandLine) };
  }
  // Only who wants it waits for a YAML parser to load.
  const { readConfig, formatConfig } = await import('./config-file.ts');
  const file = options.config === undefined ? undefined : readConfig(options.config);
  const settings = file === undefined ? commandLine : mergeSettings(file.settings, commandLine);
  const run = completeSettings(settings, file?.origins);
  return options.printConfig === true ? { print: formatConfig(run) } : { run };
}

function fail(message: string): never {
  throw new BridgeError('USAGE', message);
}

function readOptions(options: RawOptions): Settings {
  const { socketPath, name, spawn, notification, xenstore, logLevel } = options;
  const directories = socketPath.filter(isDirectory);
  if (directories.length > 1) fail('--socket-path was given two directories; one is enough');
  const files = socketPath.filter((path) => !directories.includes(path));
  return {
    directory: directories[0],
    sockets: pairSockets(files, name),
    spawn: parseSpawn(spawn),
    notification,
    xenstore,
    logLevel,
    virtioDisks: parseEach('--virtio-disk', options.virtioDisk, parseVirtioDiskRule, ruleSubject),
    devices: parseEach('--device', options.device, parseToldDevice, placeOf),
  };
}

function parseEach<T>(
  option: string,
  texts: readonly string[],
  parse: (text: string) => T,
  identity: (item: T) => string,
): T[] {
  const items = texts.map((text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!BridgeError.is(error)) throw error;
      throw new BridgeError('USAGE', `${option} ${text}: ${error.message}`, { cause: error });
    }
  });
  const twice = findTwice(items, identity);
  if (twice !== undefined) fail(`${option} was given twice for ${twice.identity}; once is enough`);
  return items;
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
    fail(`${option} ${value} is no device type; those are: ${DEVICE_NAMES}`);
  }
  return value;
}
