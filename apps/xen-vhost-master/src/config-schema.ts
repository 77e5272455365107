import { DEVICE_NAMES, deviceByName } from '@node-vmm/vhost-bridge/supported-devices';
import { parseMetricsAddress } from '@node-vmm/vhost-device-cli/options';
import { errorMessage } from '@node-vmm/vmm-sys-util';
import * as v from 'valibot';
import { LOG_LEVELS, NOTIFICATION_MODES } from './choices.ts';
import {
  isDirectory,
  parseDispatchNice,
  parseDispatchThreads,
  parseHold,
  parseSocket,
} from './fields.ts';
import { TOLD_FIELDS } from './told-device.ts';
import { parseVirtioDiskRule } from './virtio-disk-rule.ts';

const plainText = v.pipe(
  v.union([v.string(), v.bigint()], ({ received }) => `expected text or a number, got ${received}`),
  v.transform(String),
);
const path = v.pipe(plainText, v.nonEmpty('expected a path, got nothing'));

/** Reads text as the command line does. */
function parsed<T>(parse: (text: string) => T) {
  return v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
    try {
      return parse(dataset.value);
    } catch (error) {
      addIssue({ message: errorMessage(error) });
      return NEVER;
    }
  });
}

function readBy<T>(parse: (text: string) => T) {
  return v.pipe(plainText, parsed(parse));
}

function choice<const T extends readonly string[]>(values: T) {
  return v.picklist(values, ({ received }) => `expected ${values.join(', ')}, got ${received}`);
}

function table<const T extends v.ObjectEntries>(entries: T) {
  return v.strictObject(entries, (issue) => {
    if (issue.expected === 'never') {
      return `is no setting: correct or remove it; those are ${Object.keys(entries).join(', ')}`;
    }
    return issue.received === 'undefined'
      ? 'is missing: add it'
      : `expected settings, got ${issue.received}`;
  });
}

function byDevice<T>(value: v.GenericSchema<unknown, T>) {
  const name = v.pipe(
    v.string(),
    v.check(
      (text) => deviceByName(text) !== undefined,
      `is no device type; those are ${DEVICE_NAMES}`,
    ),
  );
  return v.record(name, value, 'expected a setting for each device type, such as "i2c: ..."');
}

function listOf<const T extends v.GenericSchema>(item: T) {
  return v.array(item, 'expected a list: lines that begin with "- "');
}

/** As it is, when it is one. */
function parseMetrics(text: string): string {
  parseMetricsAddress(text);
  return text;
}

const MEMORY = v.pipe(
  v.union(
    [
      v.string(),
      v.pipe(
        v.array(v.string()),
        v.transform((parts) => parts.join(':')),
      ),
    ],
    'expected BASE+SIZE, such as 0x40000000+512M, or a list of such',
  ),
  parsed(TOLD_FIELDS.memory),
);

const DEVICE = table({
  type: readBy(TOLD_FIELDS.type),
  domain: readBy(TOLD_FIELDS.domain),
  base: readBy(TOLD_FIELDS.base),
  irq: readBy(TOLD_FIELDS.irq),
  trigger: v.optional(readBy(TOLD_FIELDS.trigger)),
  memory: v.optional(MEMORY),
  socket: v.optional(readBy(TOLD_FIELDS.socket)),
});

/** What a configuration file may contain; messages say what to change. */
export const CONFIG_SCHEMA = table({
  'socket-directory': v.optional(
    v.pipe(path, v.check(isDirectory, 'expected a directory that exists: create it')),
  ),
  sockets: v.optional(byDevice(readBy(parseSocket))),
  spawn: v.optional(
    byDevice(v.pipe(plainText, v.trim(), v.nonEmpty('expected a command, got nothing'))),
  ),
  notification: v.optional(choice(NOTIFICATION_MODES)),
  'dispatch-threads': v.optional(readBy(parseDispatchThreads)),
  'dispatch-nice': v.optional(readBy(parseDispatchNice)),
  hold: v.optional(readBy(parseHold)),
  'foreign-mapping': v.optional(v.literal(true, 'expected true: guest memory is always mapped so')),
  xenstore: v.optional(path),
  keep: v.optional(v.boolean('expected true or false')),
  'state-dir': v.optional(path),
  'control-socket': v.optional(path),
  metrics: v.optional(readBy(parseMetrics)),
  'log-level': v.optional(choice(LOG_LEVELS)),
  'virtio-disk': v.optional(listOf(readBy(parseVirtioDiskRule))),
  devices: v.optional(listOf(DEVICE)),
});
