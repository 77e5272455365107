import type { KeptXenVm } from '@node-vmm/ioreq-eventfd/xen';
import type { KeptDevice, KeptVacancy } from '@node-vmm/vhost-bridge';
import { guestAddress } from '@node-vmm/vm-memory';
import * as v from 'valibot';

/** Ours: of what is written. Another is not read. */
const KEPT_VERSION = 1;

const MAX_DEVICES = 4096;
/** VIRTIO 1.3 §2.7: entries of a split queue. */
const MAX_QUEUE_SIZE = 32_768;
/** vhost-user names a queue by one byte. */
const MAX_QUEUES = 256;
const MAX_TEXT = 4096;

const number = (least: number, most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));
const u8 = number(0, 0xff);
const u16 = number(0, 0xffff);
const u32 = number(0, 0xffff_ffff);
const u64 = v.pipe(
  v.string(),
  v.regex(/^0x[0-9a-f]{1,16}$/),
  v.transform((text) => BigInt(text)),
);
const text = v.pipe(v.string(), v.maxLength(MAX_TEXT));
const bytes = v.pipe(
  v.string(),
  v.base64(),
  v.transform((encoded) => Uint8Array.from(Buffer.from(encoded, 'base64'))),
);

const WINDOW = v.strictObject({
  space: v.picklist(['memory', 'port']),
  base: u64,
  length: number(1, 0xffff_ffff),
});

const RAM = v.strictObject({
  guestAddr: v.pipe(
    u64,
    v.transform((address) => guestAddress(address)),
  ),
  length: number(1, Number.MAX_SAFE_INTEGER),
});

const DESCRIPTION = v.strictObject({
  key: text,
  guest: u16,
  deviceId: number(1, 0xffff),
  base: u64,
  irq: number(1, 1019),
  trigger: v.exactOptional(v.picklist(['level', 'edge'])),
  memory: v.exactOptional(v.pipe(v.array(RAM), v.maxLength(MAX_DEVICES))),
  socket: v.exactOptional(text),
});

const QUEUE = v.strictObject({
  size: u32,
  ready: v.boolean(),
  descTable: u64,
  availRing: u64,
  usedRing: u64,
});

const REGISTERS = v.strictObject({
  status: u8,
  deviceFeaturesSel: u32,
  driverFeaturesSel: u32,
  driverFeatures: u64,
  queueSel: u32,
  shmSel: u32,
  interruptStatus: u32,
  interruptStatusRead: v.boolean(),
  configGeneration: u32,
  queues: v.pipe(v.array(QUEUE), v.maxLength(MAX_QUEUES)),
});

const RING = v.strictObject({
  index: u8,
  origin: v.strictObject({ used: u16, avail: u16 }),
  stoppedAt: v.exactOptional(u32),
});

const INFLIGHT = v.strictObject({
  begun: v.boolean(),
  record: v.exactOptional(
    v.strictObject({ queues: number(1, MAX_QUEUES), queueSize: number(1, MAX_QUEUE_SIZE), bytes }),
  ),
});

const DEVICE = v.strictObject({
  description: DESCRIPTION,
  socket: v.exactOptional(text),
  state: v.exactOptional(
    v.strictObject({
      registers: REGISTERS,
      queues: v.strictObject({
        rings: v.pipe(v.array(RING), v.maxLength(MAX_QUEUES)),
        inflight: v.exactOptional(INFLIGHT),
      }),
    }),
  ),
});

const VACANCY = v.strictObject({
  site: v.strictObject({ key: text, guest: u16, base: u64 }),
  ours: v.boolean(),
});

const GUEST = v.strictObject({
  version: v.literal(KEPT_VERSION),
  /** Of the domain that the bridge runs in: what it kept did not outlive that. */
  bootId: text,
  domid: number(1, 0x7fef),
  /** What the xenstore tells a domain by: a number is used again, this is not. */
  identity: v.pipe(text, v.nonEmpty()),
  xen: v.strictObject({
    server: u16,
    vcpus: number(1, 128),
    windows: v.pipe(v.array(WINDOW), v.maxLength(MAX_DEVICES)),
  }),
  devices: v.pipe(v.array(DEVICE), v.maxLength(MAX_DEVICES)),
  vacancies: v.pipe(v.array(VACANCY), v.maxLength(MAX_DEVICES)),
});

/** A guest that one bridge leaves to the next, and how it is known again. */
export interface KeptGuest {
  readonly bootId: string;
  readonly domid: number;
  readonly identity: string;
  readonly xen: KeptXenVm;
  readonly devices: readonly KeptDevice[];
  readonly vacancies: readonly KeptVacancy[];
}

/** As JSON: numbers of 64 bits are hexadecimal text, bytes base64. */
export function formatKeptGuest(guest: KeptGuest): string {
  const plain = (_: string, value: unknown): unknown => {
    if (typeof value === 'bigint') return `0x${value.toString(16)}`;
    return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
  };
  return `${JSON.stringify({ version: KEPT_VERSION, ...guest }, plain)}\n`;
}

/**
 * Reads what {@link formatKeptGuest} wrote; whatever else it is given is refused.
 *
 * @returns what is wrong with it, where something is
 */
export function parseKeptGuest(json: string): KeptGuest | string {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return 'it is no JSON, or not all of it';
  }
  const parsed = v.safeParse(GUEST, value);
  if (parsed.success) {
    const { version: _, ...guest } = parsed.output;
    const sites = [
      ...guest.devices.map((device) => device.description),
      ...guest.vacancies.map((vacancy) => vacancy.site),
    ];
    const own = sites.every((site) => site.guest === guest.domid);
    return own ? guest : 'it has devices of another guest';
  }
  const [issue] = parsed.issues;
  const at = (issue.path ?? []).map(({ key }) => String(key)).join('.');
  return `its "${at.slice(0, 80)}" is not what version ${KEPT_VERSION} has there`;
}
