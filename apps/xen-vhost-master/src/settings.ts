import type { NotificationMode } from '@node-vmm/vm-device';
import type { LogLevel } from './choices.ts';
import { checkDispatch, DEFAULT_DISPATCH_THREADS } from './dispatch-threads.ts';
import { BridgeError } from './errors.ts';
import { placeOf, type ToldDevice } from './told-device.ts';
import { formatVirtioDiskRule, ruleSubject, type VirtioDiskRule } from './virtio-disk-rule.ts';

/** Seconds. */
const DEFAULT_HOLD = 20;

/** What a command line or a configuration file says; the rest is left to the other or the default. */
export interface Settings {
  /** Directory with `<name>.sock<n>`. */
  readonly directory: string | undefined;
  /** Socket path by device name. */
  readonly sockets: ReadonlyMap<string, string>;
  /** Back-end command by device name. */
  readonly spawn: ReadonlyMap<string, string>;
  readonly notification: NotificationMode | undefined;
  /** Threads that serve guests' register accesses; 0: the main thread does. */
  readonly dispatchThreads: number | undefined;
  /** How much those give way to others, as nice(1) has it; undefined: a little less than the bridge. */
  readonly dispatchNice: number | undefined;
  /** How long a guest's first accesses wait for a back-end, seconds. */
  readonly hold: number | undefined;
  readonly xenstore: string | undefined;
  /** Whether guests keep their devices when the bridge ends; undefined: where that can be. */
  readonly keep: boolean | undefined;
  /** Where they are kept from one bridge to the next. */
  readonly stateDir: string | undefined;
  /** Where the bridge is asked for its status; undefined: in the directory in which guests are kept. */
  readonly controlSocket: string | undefined;
  /** Where metrics are served: a path or `[host:]port`; undefined: nowhere. */
  readonly metrics: string | undefined;
  readonly logLevel: LogLevel | undefined;
  readonly virtioDisks: readonly VirtioDiskRule[];
  readonly devices: readonly ToldDevice[];
}

/** Settings that are complete and make sense together. */
export interface Arguments extends Settings {
  readonly notification: NotificationMode;
  readonly dispatchThreads: number;
  readonly hold: number;
  readonly logLevel: LogLevel;
}

/** Where devices and disks were told of, those of a configuration file: `FILE:LINE`. */
export type Origins = ReadonlyMap<object, string>;

/** The command line's settings come before the file's; lists of both are one. */
export function mergeSettings(file: Settings, commandLine: Settings): Settings {
  return {
    directory: commandLine.directory ?? file.directory,
    sockets: new Map([...file.sockets, ...commandLine.sockets]),
    spawn: new Map([...file.spawn, ...commandLine.spawn]),
    notification: commandLine.notification ?? file.notification,
    dispatchThreads: commandLine.dispatchThreads ?? file.dispatchThreads,
    dispatchNice: commandLine.dispatchNice ?? file.dispatchNice,
    hold: commandLine.hold ?? file.hold,
    xenstore: commandLine.xenstore ?? file.xenstore,
    keep: commandLine.keep ?? file.keep,
    stateDir: commandLine.stateDir ?? file.stateDir,
    controlSocket: commandLine.controlSocket ?? file.controlSocket,
    metrics: commandLine.metrics ?? file.metrics,
    logLevel: commandLine.logLevel ?? file.logLevel,
    virtioDisks: override(file.virtioDisks, commandLine.virtioDisks, ruleSubject),
    devices: override(file.devices, commandLine.devices, placeOf),
  };
}

function override<T>(below: readonly T[], above: readonly T[], identity: (item: T) => string): T[] {
  const taken = new Set(above.map(identity));
  return [...below.filter((item) => !taken.has(identity(item))), ...above];
}

/** The first of several that is there twice, and what it is that they share. */
export function findTwice<T>(
  items: readonly T[],
  identity: (item: T) => string,
): { readonly index: number; readonly identity: string } | undefined {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const key = identity(item);
    if (seen.has(key)) return { index, identity: key };
    seen.add(key);
  }
  return undefined;
}

/**
 * Adds defaults.
 *
 * @throws {BridgeError} USAGE or BAD_CONFIG when there is no back-end for something
 */
export function completeSettings(settings: Settings, origins: Origins = new Map()): Arguments {
  const { directory, sockets, spawn, virtioDisks, devices } = settings;
  const own = devices.some(({ socket }) => socket !== undefined);
  if (directory === undefined && sockets.size === 0 && spawn.size === 0 && !own) {
    throw new BridgeError(
      'USAGE',
      'say where the back-ends are: --socket-path with --name, a directory, or --spawn',
    );
  }
  const check = (item: ToldDevice | VirtioDiskRule, what: string, remedy: string): void => {
    const { name } = item.type;
    if (directory !== undefined || sockets.has(name) || spawn.has(name)) return;
    const text = `${what} has no back-end: ${remedy}a socket for ${name} (--name), a directory, or a command (--spawn)`;
    const origin = origins.get(item);
    if (origin === undefined) throw new BridgeError('USAGE', text);
    throw new BridgeError('BAD_CONFIG', `Cannot use configuration ${origin}: ${text}`);
  };
  for (const device of devices) {
    if (device.socket !== undefined) continue;
    check(device, `the ${device.type.name} at ${placeOf(device)}`, 'give it a socket of its own, ');
  }
  for (const rule of virtioDisks) check(rule, `virtio disk ${formatVirtioDiskRule(rule)}`, 'give ');
  const { dispatchNice, dispatchThreads = DEFAULT_DISPATCH_THREADS } = settings;
  checkDispatch({ dispatchThreads, dispatchNice });
  return {
    ...settings,
    notification: settings.notification ?? 'auto',
    dispatchThreads,
    hold: settings.hold ?? DEFAULT_HOLD,
    logLevel: settings.logLevel ?? 'info',
  };
}
