import { readFileSync } from 'node:fs';
import { pathProblem } from '@node-vmm/vhost-device-cli/options';
import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util';
import { safeParse } from 'valibot';
import {
  Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  Scalar,
} from 'yaml';
import { CONFIG_SCHEMA } from './config-schema.ts';
import { BridgeError } from './errors.ts';
import { formatDomain, formatRange } from './fields.ts';
import { type Arguments, findTwice, type Origins, type Settings } from './settings.ts';
import { placeOf, type ToldDevice } from './told-device.ts';
import { formatVirtioDiskRule, ruleSubject } from './virtio-disk-rule.ts';

type Path = readonly (string | number)[];

/** What a file says, and where in it: `FILE:LINE` of devices and disks. */
export interface ConfigFile {
  readonly settings: Settings;
  readonly origins: Origins;
}

/**
 * Reads a configuration file: YAML 1.2 with the command line's settings.
 *
 * @throws {BridgeError} BAD_CONFIG, with file, line and what to change
 */
export function readConfig(file: string): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(readText(file), {
    lineCounter: lines,
    // Addresses have more bits than a number.
    intAsBigInt: true,
    prettyErrors: false,
  });
  const place = (offset: number): string => `${file}:${lines.linePos(offset).line}`;
  const fail = (offset: number, message: string): never => {
    throw new BridgeError('BAD_CONFIG', `Cannot use configuration ${place(offset)}: ${message}`);
  };
  const failAt = (at: Path, message: string): never =>
    fail(offsetOf(document, at), at.length === 0 ? message : `"${spell(at)}" ${message}`);
  const [broken] = [...document.errors, ...document.warnings];
  if (broken !== undefined) fail(broken.pos[0], `${oneLine(broken.message)}; correct the YAML`);
  if (document.contents !== null && !isMap(document.contents)) {
    failAt([], 'expected settings, such as "log-level: info"');
  }
  const parsed = safeParse(CONFIG_SCHEMA, document.toJS() ?? {});
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const at = (issue.path ?? []).map(({ key }) => key as string | number);
    return failAt(at, oneLine(issue.message));
  }
  const { output } = parsed;
  const devices: readonly ToldDevice[] = output.devices ?? [];
  const virtioDisks = output['virtio-disk'] ?? [];
  const device = findTwice(devices, placeOf);
  if (device !== undefined) {
    failAt(['devices', device.index], `is the second at ${device.identity}; remove one`);
  }
  const disk = findTwice(virtioDisks, ruleSubject);
  if (disk !== undefined) {
    failAt(['virtio-disk', disk.index], `is the second for ${disk.identity}; remove one`);
  }
  const origins = new Map<object, string>();
  const remember = (name: string, items: readonly object[]): void =>
    items.forEach((item, i) => {
      origins.set(item, place(offsetOf(document, [name, i])));
    });
  remember('devices', devices);
  remember('virtio-disk', virtioDisks);
  const settings = {
    directory: output['socket-directory'],
    sockets: new Map(Object.entries(output.sockets ?? {})),
    spawn: new Map(Object.entries(output.spawn ?? {})),
    notification: output.notification,
    dispatchThreads: output['dispatch-threads'],
    dispatchNice: output['dispatch-nice'],
    hold: output.hold,
    xenstore: output.xenstore,
    keep: output.keep,
    stateDir: output['state-dir'],
    controlSocket: output['control-socket'],
    metrics: output.metrics,
    logLevel: output['log-level'],
    virtioDisks,
    devices,
  };
  return { settings, origins };
}

/** Writes a configuration as {@link readConfig} reads it. */
export function formatConfig(settings: Arguments): string {
  const { directory, sockets, spawn, notification, hold, xenstore, logLevel } = settings;
  const { dispatchThreads, dispatchNice, keep, stateDir, controlSocket, metrics } = settings;
  const { virtioDisks, devices } = settings;
  const document = new Document({
    ...(directory === undefined ? {} : { 'socket-directory': directory }),
    ...(sockets.size === 0 ? {} : { sockets: Object.fromEntries(sockets) }),
    ...(spawn.size === 0 ? {} : { spawn: Object.fromEntries(spawn) }),
    notification,
    'dispatch-threads': dispatchThreads,
    ...(dispatchNice === undefined ? {} : { 'dispatch-nice': dispatchNice }),
    hold,
    ...(xenstore === undefined ? {} : { xenstore }),
    ...(keep === undefined ? {} : { keep }),
    ...(stateDir === undefined ? {} : { 'state-dir': stateDir }),
    ...(controlSocket === undefined ? {} : { 'control-socket': controlSocket }),
    ...(metrics === undefined ? {} : { metrics }),
    'log-level': logLevel,
    ...(virtioDisks.length === 0 ? {} : { 'virtio-disk': virtioDisks.map(formatVirtioDiskRule) }),
    ...(devices.length === 0 ? {} : { devices: devices.map(plainDevice) }),
  });
  // Without folding: a command stays on its line.
  return document.toString({ lineWidth: 0 });
}

function plainDevice(device: ToldDevice): Record<string, unknown> {
  const { type, domain, base, irq, trigger, memory, socket } = device;
  const address = new Scalar(BigInt(base));
  address.format = 'HEX';
  return {
    type: type.name,
    domain: 'id' in domain ? domain.id : formatDomain(domain),
    base: address,
    irq,
    ...(trigger === undefined ? {} : { trigger }),
    ...(memory === undefined ? {} : { memory: memory.map(formatRange) }),
    ...(socket === undefined ? {} : { socket }),
  };
}

function readText(file: string): string {
  const refuse = (state: string, cause: unknown): BridgeError =>
    new BridgeError(
      'BAD_CONFIG',
      `Cannot read configuration ${file}: ${state}`,
      { path: file },
      { cause },
    );
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw refuse(pathProblem(errorCode(error), '--config') ?? errorMessage(error), error);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw refuse('it is not UTF-8; save it as such', error);
  }
}

/** Where something is in the text, or what should contain it. */
function offsetOf(document: Document.Parsed, at: Path): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of at) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === step);
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  const ranged = isScalar(node) || isMap(node) || isSeq(node) || isAlias(node);
  return ranged ? node.range?.[0] : undefined;
}

/** `devices[0].irq` */
function spell(at: Path): string {
  return at
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
