import { dirname } from 'node:path';
import { DEVICE_NAMES, deviceByName } from '@node-vmm/vhost-bridge/supported-devices';
import { UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import type { RawOptions } from './args.ts';
import { checkWatchingOptions } from './common-options.ts';
import { BridgeError } from './errors.ts';
import { isDirectory, parseDispatchNice, parseDispatchThreads, parseHold } from './fields.ts';
import { findTwice, type Settings } from './settings.ts';
import { parseToldDevice, placeOf } from './told-device.ts';
import { parseVirtioDiskRule, ruleSubject } from './virtio-disk-rule.ts';

function fail(message: string): never {
  throw new BridgeError('USAGE', message);
}

/**
 * Reads what Commander took for text.
 *
 * @throws {BridgeError} USAGE
 */
export function readOptions(options: RawOptions): Settings {
  const { socketPath = [], name = [], spawn = [], virtioDisk = [], device = [] } = options;
  const { notification, dispatchThreads, dispatchNice, hold, xenstore, logLevel } = options;
  if (options.stateDir === '') fail('--state-dir expects a directory, got nothing');
  checkWatchingOptions(options);
  const directories = socketPath.filter(isDirectory);
  if (directories.length > 1) fail('--socket-path was given two directories; one is enough');
  const files = socketPath.filter((path) => !directories.includes(path));
  return {
    directory: directories[0],
    sockets: pairSockets(files, name),
    spawn: parseSpawn(spawn),
    notification,
    dispatchThreads:
      dispatchThreads === undefined
        ? undefined
        : parseOne('--dispatch-threads', dispatchThreads, parseDispatchThreads),
    dispatchNice:
      dispatchNice === undefined
        ? undefined
        : parseOne('--dispatch-nice', dispatchNice, parseDispatchNice),
    hold: hold === undefined ? undefined : parseOne('--hold', hold, parseHold),
    xenstore,
    keep: readKeep(options),
    stateDir: options.stateDir,
    controlSocket: options.controlSocket,
    metrics: options.metrics,
    logLevel,
    virtioDisks: parseEach('--virtio-disk', virtioDisk, parseVirtioDiskRule, ruleSubject),
    devices: parseEach('--device', device, parseToldDevice, placeOf),
  };
}

function readKeep({ keep, release }: RawOptions): boolean | undefined {
  if (keep === true && release === true) fail('--keep and --release exclude each other; give one');
  return release === true ? false : keep;
}

/** @throws {BridgeError} USAGE, which names the option */
export function parseOne<T>(option: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    if (!BridgeError.is(error)) throw error;
    throw new BridgeError('USAGE', `${option} ${text}: ${error.message}`, {}, { cause: error });
  }
}

function parseEach<T>(
  option: string,
  texts: readonly string[],
  parse: (text: string) => T,
  identity: (item: T) => string,
): T[] {
  const items = texts.map((text) => parseOne(option, text, parse));
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
    if (Buffer.byteLength(path) > UNIX_PATH_MAX) {
      fail(`--socket-path ${path} is too long; a socket's path has ${UNIX_PATH_MAX} bytes at most`);
    }
    sockets.set(name, path);
  });
  return sockets;
}

/** Reads `NAME=COMMAND`. @throws {BridgeError} USAGE */
export function parseSpawn(items: readonly string[]): Map<string, string> {
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
