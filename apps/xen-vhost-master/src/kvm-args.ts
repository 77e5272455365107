import { packageVersion, parseCommandLine } from '@node-vmm/vhost-device-cli/options';
import type { NotificationMode } from '@node-vmm/vm-device';
import { Command } from 'commander';
import type { LogLevel } from './choices.ts';
import {
  addWatchingOptions,
  checkWatchingOptions,
  collect,
  dispatchNiceOption,
  dispatchThreadsOption,
  notificationOption,
} from './common-options.ts';
import { checkDispatch, DEFAULT_DISPATCH_THREADS } from './dispatch-threads.ts';
import { BridgeError } from './errors.ts';
import type { KvmDevice } from './kvm-device.ts';

/** What `xen-vhost-master kvm` is to do. */
export interface KvmArguments {
  readonly image: string;
  /** Bytes. */
  readonly memory: number;
  readonly vcpus: number;
  readonly hugePageSize: number | undefined;
  readonly append: string;
  readonly devices: readonly KvmDevice[];
  /** Back-end command by device name. */
  readonly spawn: ReadonlyMap<string, string>;
  readonly notification: NotificationMode;
  readonly dispatchThreads: number;
  /** Of those threads; undefined: as the process's. */
  readonly dispatchNice: number | undefined;
  readonly controlSocket: string | undefined;
  /** Where metrics are served: a path or `[host:]port`; undefined: nowhere. */
  readonly metrics: string | undefined;
  readonly logLevel: LogLevel;
}

interface RawKvmOptions {
  readonly image?: string;
  readonly kernel?: string;
  readonly memory: string;
  readonly vcpus: string;
  readonly hugePages?: string;
  readonly append?: string;
  readonly device?: readonly string[];
  readonly spawn?: readonly string[];
  readonly notification?: NotificationMode;
  readonly dispatchThreads?: string;
  readonly dispatchNice?: string;
  readonly controlSocket?: string;
  readonly metrics?: string;
  readonly logLevel?: LogLevel;
}

const UNITS: Readonly<Record<string, number>> = { K: 1 << 10, M: 1 << 20, G: 1 << 30 };

/** The command line of `xen-vhost-master kvm`. */
export function createKvmCommand(): Command {
  const command = new Command('xen-vhost-master kvm')
    .description('Runs a bare-metal guest on /dev/kvm with devices of vhost-user back-ends.')
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version')
    .option(
      '--image <file>',
      'raw machine code, loaded at 1 MiB and entered at its first byte\nin 32-bit protected mode',
    )
    .option('--kernel <file>', 'a Linux kernel: not yet')
    .option('--append <words>', "words for the guest's command line")
    .option('--memory <size>', 'bytes, with K, M or G', '16M')
    .option('--vcpus <number>', 'vCPUs, each with a thread of its own', '1')
    .option('--huge-pages <size>', 'make the memory of huge pages of that size, such as 2M')
    .option(
      '--device <device>',
      'TYPE,socket=PATH|spawn[,base=ADDRESS][,irq=N]: a device with\nits back-end; repeatable',
      collect,
    )
    .option(
      '--spawn <name=command>',
      'the back-end that spawn starts for devices of a type\n(default: vhost-device-NAME); repeatable',
      collect,
    )
    .addOption(notificationOption())
    .addOption(dispatchThreadsOption())
    .addOption(dispatchNiceOption());
  return addWatchingOptions(command, undefined).addHelpText(
    'after',
    `
Example:
  xen-vhost-master kvm --image guest.bin --memory 16M --vcpus 2 --device rng,spawn`,
  );
}

function fail(text: string): never {
  throw new BridgeError('USAGE', text);
}

function parseSize(option: string, text: string): number {
  const [, digits, unit = ''] = /^([0-9]{1,15})([KMG]?)$/.exec(text) ?? [];
  const size = digits === undefined ? Number.NaN : Number(digits) * (UNITS[unit] ?? 1);
  return Number.isSafeInteger(size) && size > 0
    ? size
    : fail(`${option} expects a size such as 16M, got "${text}"`);
}

/**
 * Reads a command line.
 *
 * @param argv - without the word `kvm`
 * @throws {CliError} USAGE
 * @throws {BridgeError} USAGE
 */
export async function parseKvmArguments(
  argv: readonly string[],
): Promise<{ readonly run: KvmArguments } | { readonly print: string }> {
  const parsed = parseCommandLine<RawKvmOptions>(createKvmCommand(), argv);
  if ('print' in parsed) return parsed;
  const { options } = parsed;
  if (options.kernel !== undefined)
    fail('--kernel: Linux guests come later; bare-metal guests are started by --image');
  if (options.image === undefined || options.image === '') fail('say what to run: --image FILE');
  const vcpus = /^[0-9]{1,3}$/.test(options.vcpus) ? Number(options.vcpus) : 0;
  if (vcpus < 1) fail(`--vcpus expects a number from 1 on, got "${options.vcpus}"`);
  checkWatchingOptions(options);
  const { parseOne, parseSpawn } = await import('./read-options.ts');
  const { parseDispatchNice, parseDispatchThreads } = await import('./fields.ts');
  const { parseKvmDevice } = await import('./kvm-device.ts');
  const { hugePages, dispatchThreads, dispatchNice } = options;
  const run: KvmArguments = {
    image: options.image,
    memory: parseSize('--memory', options.memory),
    vcpus,
    hugePageSize: hugePages === undefined ? undefined : parseSize('--huge-pages', hugePages),
    append: options.append ?? '',
    devices: (options.device ?? []).map(parseKvmDevice),
    spawn: parseSpawn(options.spawn ?? []),
    notification: options.notification ?? 'auto',
    dispatchThreads:
      dispatchThreads === undefined
        ? DEFAULT_DISPATCH_THREADS
        : parseOne('--dispatch-threads', dispatchThreads, parseDispatchThreads),
    dispatchNice:
      dispatchNice === undefined
        ? undefined
        : parseOne('--dispatch-nice', dispatchNice, parseDispatchNice),
    controlSocket: options.controlSocket,
    metrics: options.metrics,
    logLevel: options.logLevel ?? 'info',
  };
  checkDispatch(run);
  return { run };
}
