import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { IrqTrigger } from '@node-vmm/vhost-bridge';
import {
  DEVICE_NAMES,
  deviceById,
  deviceByName,
  type SupportedDevice,
} from '@node-vmm/vhost-bridge/supported-devices';
import { VIRTIO_MMIO_WINDOW_SIZE } from '@node-vmm/virtio-bindings';
import { type GuestRange, guestAddress } from '@node-vmm/vm-memory';
import { hex, UNIX_PATH_MAX } from '@node-vmm/vmm-sys-util';
import { DOMID_FIRST_RESERVED } from '@node-vmm/xen-sys';
import { MOST_DISPATCH_THREADS, NICE_RANGE } from './dispatch-threads.ts';
import { BridgeError } from './errors.ts';

/** A domain, as a user names it. */
export type DomainRef = { readonly id: number } | { readonly name: string };

/** Bits of a physical address on Arm and x86, at most. */
const MAX_ADDRESS = 1n << 52n;
const PAGE = 0x1000n;
const UNITS = { '': 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n } as const;

function expected(what: string, text: string): BridgeError {
  return new BridgeError('USAGE', `expected ${what}, got "${text}"`);
}

/** A number in decimal or, with 0x, in hexadecimal; undefined when it is none. */
export function parseWholeNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^(0x[0-9a-f]+|[0-9]+)$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** `i2c`, `virtio-34`, `34` or `0x22`. @throws {BridgeError} USAGE */
export function parseDeviceType(text: string): SupportedDevice {
  const id = parseWholeNumber(/^(?:virtio-)?(.+)$/.exec(text)?.[1]);
  const known = deviceByName(text);
  if (known !== undefined) return known;
  if (id !== undefined && id >= 1 && id <= 0xffff) return deviceById(id);
  throw expected(`a device type, one of ${DEVICE_NAMES}, or virtio-<device ID>`, text);
}

/** A domain's number or its name; digits alone are a number. @throws {BridgeError} USAGE */
export function parseDomain(text: string): DomainRef {
  if (/^[0-9]+$/.test(text)) {
    const id = Number(text);
    if (id >= 1 && id < DOMID_FIRST_RESERVED) return { id };
  } else if (/^[^\s/,:=]{1,128}$/.test(text)) {
    return { name: text };
  }
  throw expected(
    `a domain's name or its number from 1 to ${DOMID_FIRST_RESERVED - 1}, as xl list has them`,
    text,
  );
}

/** The reverse of {@link parseDomain}. */
export function formatDomain(domain: DomainRef): string {
  return 'id' in domain ? String(domain.id) : domain.name;
}

/** Whether a domain is the one that is meant. */
export function matchesDomain(domain: DomainRef, domid: number, name: string | undefined): boolean {
  return 'id' in domain ? domain.id === domid : domain.name === name;
}

/** Address of a virtio-mmio window. @throws {BridgeError} USAGE */
export function parseBase(text: string): bigint {
  const base = parseAddress(text);
  if (base !== undefined && base > 0n && base % BigInt(VIRTIO_MMIO_WINDOW_SIZE) === 0n) return base;
  throw expected('the address of a virtio-mmio window, a multiple of 0x200', text);
}

/** @throws {BridgeError} USAGE */
export function parseIrq(text: string): number {
  const irq = parseWholeNumber(text);
  if (irq !== undefined && irq >= 1 && irq <= 1019) return irq;
  throw expected('the number of an interrupt, 1 to 1019', text);
}

/** @throws {BridgeError} USAGE */
export function parseTrigger(text: string): IrqTrigger {
  if (text === 'level' || text === 'edge') return text;
  throw expected('level or edge', text);
}

/** `BASE+SIZE[:BASE+SIZE...]` in whole pages, sizes with K, M or G. @throws {BridgeError} USAGE */
export function parseMemory(text: string): readonly GuestRange[] {
  const ranges = text.split(':').map(parseRange);
  const sorted = [...ranges].sort((a, b) => (a.guestAddr < b.guestAddr ? -1 : 1));
  sorted.forEach((range, i) => {
    const next = sorted[i + 1];
    if (next !== undefined && range.guestAddr + BigInt(range.length) > next.guestAddr) {
      throw expected(`ranges of memory that do not overlap (${formatRange(next)} does)`, text);
    }
  });
  return sorted;
}

function parseRange(text: string): GuestRange {
  const [, start, amount, unit] = /^([0-9a-fx]+)\+([0-9a-fx]+)([KMG]?)$/i.exec(text) ?? [];
  const base = parseAddress(start ?? '');
  const size = parseAddress(amount ?? '');
  if (base !== undefined && size !== undefined && size > 0n) {
    const length = size * UNITS[unit?.toUpperCase() as keyof typeof UNITS];
    const whole = base % PAGE === 0n && length % PAGE === 0n;
    if (whole && base + length <= MAX_ADDRESS) return { guestAddr: guestAddress(base), length };
  }
  throw expected('memory as BASE+SIZE in whole pages, such as 0x40000000+512M', text);
}

/** The reverse of {@link parseMemory}, for one range. */
export function formatRange({ guestAddr, length }: GuestRange): string {
  return `${hex(guestAddr)}+${hex(length)}`;
}

/** Path of a back-end's socket, which need not exist yet. @throws {BridgeError} USAGE */
export function parseSocket(text: string): string {
  if (text === '' || isDirectory(text) || !isDirectory(dirname(text))) {
    throw expected('the path of a socket in a directory that exists', text);
  }
  if (Buffer.byteLength(text) > UNIX_PATH_MAX) {
    throw expected(`a socket's path of ${UNIX_PATH_MAX} bytes at most`, text);
  }
  return text;
}

/** True for a directory that exists. */
export function isDirectory(path: string): boolean {
  // In bigint: see `openOutput` of vhost-device-cli; a socket here would spoil imports to come.
  try {
    return statSync(path, { throwIfNoEntry: false, bigint: true })?.isDirectory() === true;
  } catch {
    // Too long, or not for us to see: whoever uses it says which.
    return false;
  }
}

function parseAddress(text: string): bigint | undefined {
  if (!/^(0x[0-9a-f]{1,16}|[0-9]{1,20})$/i.test(text)) return undefined;
  const value = BigInt(text);
  return value < MAX_ADDRESS ? value : undefined;
}

/** Longest hold: a guest that stands still for longer is taken for dead. Seconds. */
const MAX_HOLD = 600;

/** Reads how long a guest waits for a back-end, seconds. @throws {BridgeError} USAGE */
export function parseHold(text: string): number {
  const seconds = Number(text);
  if (/^[0-9]+$/.test(text) && seconds >= 1 && seconds <= MAX_HOLD) return seconds;
  throw expected(`seconds, 1 to ${MAX_HOLD}`, text);
}

/** @throws {BridgeError} USAGE */
export function parseDispatchThreads(text: string): number {
  const threads = Number(text);
  if (/^[0-9]{1,3}$/.test(text) && threads <= MOST_DISPATCH_THREADS) return threads;
  throw expected(`a number of threads, 0 to ${MOST_DISPATCH_THREADS}`, text);
}

/** @throws {BridgeError} USAGE */
export function parseDispatchNice(text: string): number {
  const [first, last] = NICE_RANGE;
  const nice = Number(text);
  if (/^-?[0-9]{1,2}$/.test(text) && nice >= first && nice <= last) return nice;
  throw expected(`a number from ${first} to ${last}, as of nice(1)`, text);
}
