import {
  DEVICE_NAMES,
  deviceByName,
  type SupportedDevice,
} from '@node-vmm/vhost-bridge/supported-devices';
import { BridgeError } from './errors.ts';
import { parseBase, parseDeviceType, parseIrq, parseSocket } from './fields.ts';
import { findTwice } from './settings.ts';

/** A device of a KVM guest, as the user tells of it. */
export interface KvmDevice {
  readonly type: SupportedDevice;
  /** Path of the back-end's socket; undefined where the back-end is started. */
  readonly socket: string | undefined;
  readonly base: bigint | undefined;
  readonly irq: number | undefined;
}

/** A device with its place in the guest. */
export interface PlacedKvmDevice extends KvmDevice {
  readonly base: bigint;
  readonly irq: number;
}

const FORM = 'TYPE,socket=PATH|spawn[,base=ADDRESS][,irq=N]';
/** Ours: a page for each window. */
const STEP = 0x1000n;
/** Ours: inputs of the I/O APIC that no part of a PC has by tradition, in the order in which devices get them. */
const IRQS = [5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

/**
 * Reads `rng,spawn` or `i2c,socket=/run/i2c.sock0,base=0xd0000000,irq=5`.
 *
 * @throws {BridgeError} USAGE
 */
export function parseKvmDevice(text: string): KvmDevice {
  const [type = '', ...settings] = text.split(',');
  const given = new Map<string, string>();
  for (const setting of settings) {
    const [, name, value] = /^(socket|base|irq)=(.*)$/.exec(setting) ?? [];
    const [key, what] = setting === 'spawn' ? ['spawn', ''] : [name, value];
    if (key === undefined || what === undefined) {
      throw new BridgeError('USAGE', `--device expects ${FORM}, got "${setting}" in it`);
    }
    if (given.has(key)) throw new BridgeError('USAGE', `--device expects one ${key}, got two`);
    given.set(key, what);
  }
  if (given.has('socket') === given.has('spawn')) {
    throw new BridgeError('USAGE', `--device expects ${FORM}: a socket or spawn, one of the two`);
  }
  const read = <T>(key: string, parse: (value: string) => T): T | undefined => {
    const value = given.get(key);
    return value === undefined ? undefined : parse(value);
  };
  const known = parseDeviceType(type);
  if (given.has('spawn') && deviceByName(known.name) === undefined) {
    throw new BridgeError(
      'USAGE',
      `--device expects a socket for ${type}: what can be started is ${DEVICE_NAMES}`,
    );
  }
  return {
    type: known,
    socket: read('socket', parseSocket),
    base: read('base', parseBase),
    irq: read('irq', parseIrq),
  };
}

/**
 * Gives each device a place of its own, where the user did not.
 *
 * @param first - where windows begin
 * @throws {BridgeError} USAGE
 */
export function placeKvmDevices(devices: readonly KvmDevice[], first: bigint): PlacedKvmDevice[] {
  const bases = new Set(devices.flatMap(({ base }) => base ?? []));
  const irqs = new Set(devices.flatMap(({ irq }) => irq ?? []));
  let next = first;
  const freeBase = (): bigint => {
    while (bases.has(next)) next += STEP;
    bases.add(next);
    return next;
  };
  const freeIrq = (): number => {
    // Lines are edges, which any number of devices may share.
    const irq = IRQS.find((line) => !irqs.has(line)) ?? (IRQS[0] as number);
    irqs.add(irq);
    return irq;
  };
  const placed = devices.map((device) => ({
    ...device,
    base: device.base ?? freeBase(),
    irq: device.irq ?? freeIrq(),
  }));
  const twice = findTwice(placed, ({ base }) => `0x${base.toString(16)}`);
  if (twice !== undefined) {
    throw new BridgeError('USAGE', `--device was given twice for base=${twice.identity}`);
  }
  return placed;
}
