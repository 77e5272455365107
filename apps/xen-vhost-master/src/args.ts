import { DEVICE_NAMES } from '@node-vmm/vhost-bridge/supported-devices';
import { packageVersion, parseCommandLine } from '@node-vmm/vhost-device-cli/options';
import type { NotificationMode } from '@node-vmm/vm-device';
import { Command } from 'commander';
import type { LogLevel } from './choices.ts';
import {
  addWatchingOptions,
  collect,
  dispatchNiceOption,
  dispatchThreadsOption,
  notificationOption,
} from './common-options.ts';
import type { Arguments } from './settings.ts';

/** What a command line came to: a run, or text for standard output. */
export type ParsedArguments = { readonly run: Arguments } | { readonly print: string };

/** The command line as Commander reads it. */
export interface RawOptions {
  readonly socketPath?: readonly string[];
  readonly name?: readonly string[];
  readonly spawn?: readonly string[];
  readonly virtioDisk?: readonly string[];
  readonly device?: readonly string[];
  readonly notification?: NotificationMode;
  readonly dispatchThreads?: string;
  readonly dispatchNice?: string;
  readonly hold?: string;
  readonly xenstore?: string;
  readonly keep?: boolean;
  readonly release?: boolean;
  readonly stateDir?: string;
  readonly controlSocket?: string;
  readonly metrics?: string;
  readonly logLevel?: LogLevel;
  readonly config?: string;
  readonly printConfig?: boolean;
}

function createCommand(): Command {
  const command = new Command('xen-vhost-master')
    .description('Connects virtio devices of Xen guests to vhost-user back-ends.')
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version')
    .option(
      '-s, --socket-path <path>',
      'socket of the back-end that --name names, or a directory\nwith sockets <name>.sock<n>; repeatable',
      collect,
    )
    .option(
      '-n, --name <device>',
      `device type of the socket: ${DEVICE_NAMES}; repeatable`,
      collect,
    )
    .option(
      '--spawn <name=command>',
      'start this back-end for each device of a type, with\n--socket-path and --socket-count 1 appended; repeatable',
      collect,
    )
    .option(
      '--virtio-disk <disk=device>',
      "[DOMAIN:]VDEV=TYPE: this virtio disk of a guest's\nconfiguration is a device of that type; repeatable",
      collect,
    )
    .option(
      '--device <device>',
      'a device that no toolstack announces:\nTYPE,domain=NAME|ID,base=ADDRESS,irq=N[,trigger=level|edge]\n[,memory=BASE+SIZE[:BASE+SIZE...]][,socket=PATH]; repeatable',
      collect,
    )
    .addOption(notificationOption())
    .addOption(dispatchThreadsOption())
    .addOption(dispatchNiceOption())
    .option(
      '--hold <seconds>',
      "how long a guest's first accesses to a device wait\nfor its back-end (default: 20)",
    )
    .option('-f, --foreign-mapping', 'map guest memory by foreign mapping (always done)')
    .option('--xenstore <path>', 'socket or device of the xenstore')
    .option(
      '--keep',
      "at the end leave the guests' devices to the next start of\nthe bridge (default, where there is a state directory)",
    )
    .option('--release', 'at the end take the devices from their guests')
    .option(
      '--state-dir <directory>',
      'where they are kept until then, one for each bridge\n(default: /run/xen-vhost-master for root, else in\n$XDG_RUNTIME_DIR)',
    );
  return addWatchingOptions(command, 'control in the --state-dir')
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
  xen-vhost-master --config /etc/xen/vhost.yaml

A running bridge is asked by: xen-vhost-master status [--json] [--watch]; see status --help
A guest of KVM is run by: xen-vhost-master kvm --image FILE ...; see kvm --help`,
    );
}

/**
 * Reads a command line, and the configuration file that it names.
 *
 * @param argv - without interpreter and script
 * @throws {CliError} USAGE
 * @throws {BridgeError} USAGE, BAD_CONFIG
 */
export async function parseArguments(argv: readonly string[]): Promise<ParsedArguments> {
  const parsed = parseCommandLine<RawOptions>(createCommand(), argv);
  if ('print' in parsed) return parsed;
  const { options } = parsed;
  // Here and not above: who asks for a version waits for no native code.
  const { readOptions } = await import('./read-options.ts');
  const { completeSettings, mergeSettings } = await import('./settings.ts');
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
