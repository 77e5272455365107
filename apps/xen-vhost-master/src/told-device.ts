import type { DeviceDescription, IrqTrigger } from '@node-vmm/vhost-bridge';
import type { SupportedDevice } from '@node-vmm/vhost-bridge/supported-devices';
import type { GuestRange } from '@node-vmm/vm-memory';
import { hex } from '@node-vmm/vmm-sys-util';
import { BridgeError } from './errors.ts';
import {
  type DomainRef,
  formatDomain,
  parseBase,
  parseDeviceType,
  parseDomain,
  parseIrq,
  parseMemory,
  parseSocket,
  parseTrigger,
} from './fields.ts';

/** A device that the user tells of: `--device`, or `devices` in a configuration file. */
export interface ToldDevice {
  readonly type: SupportedDevice;
  readonly domain: DomainRef;
  readonly base: bigint;
  readonly irq: number;
  readonly trigger?: IrqTrigger | undefined;
  readonly memory?: readonly GuestRange[] | undefined;
  readonly socket?: string | undefined;
}

/** How each property of a device is read from text; all throw USAGE. */
export const TOLD_FIELDS = {
  type: parseDeviceType,
  domain: parseDomain,
  base: parseBase,
  irq: parseIrq,
  trigger: parseTrigger,
  memory: parseMemory,
  socket: parseSocket,
} as const;

const REQUIRED = ['domain', 'base', 'irq'] as const;
const FORM =
  'TYPE,domain=NAME|ID,base=ADDRESS,irq=N[,trigger=level|edge][,memory=BASE+SIZE[:...]][,socket=PATH]';

/**
 * Reads `i2c,domain=guest1,base=0x2000000,irq=33`.
 *
 * @throws {BridgeError} USAGE
 */
export function parseToldDevice(text: string): ToldDevice {
  const [type = '', ...settings] = text.split(',');
  const given = new Map([['type', type]]);
  for (const setting of settings) {
    const [, name, value] = /^([a-z]+)=(.*)$/.exec(setting) ?? [];
    if (name === undefined || value === undefined || !(name in TOLD_FIELDS) || name === 'type') {
      throw new BridgeError('USAGE', `expected ${FORM}, got "${setting}" in it`);
    }
    if (given.has(name)) throw new BridgeError('USAGE', `expected one ${name}=, got two`);
    given.set(name, value);
  }
  const missing = REQUIRED.filter((name) => !given.has(name));
  if (missing.length > 0) {
    throw new BridgeError('USAGE', `expected ${FORM}: there is no ${missing.join(' and no ')}`);
  }
  return {
    type: TOLD_FIELDS.type(type),
    domain: field(given, 'domain', TOLD_FIELDS.domain) as DomainRef,
    base: field(given, 'base', TOLD_FIELDS.base) as bigint,
    irq: field(given, 'irq', TOLD_FIELDS.irq) as number,
    trigger: field(given, 'trigger', TOLD_FIELDS.trigger),
    memory: field(given, 'memory', TOLD_FIELDS.memory),
    socket: field(given, 'socket', TOLD_FIELDS.socket),
  };
}

function field<T>(
  given: ReadonlyMap<string, string>,
  name: string,
  parse: (text: string) => T,
): T | undefined {
  const text = given.get(name);
  if (text === undefined) return undefined;
  try {
    return parse(text);
  } catch (error) {
    if (!BridgeError.is(error)) throw error;
    throw new BridgeError('USAGE', `${name} ${error.message}`, {}, { cause: error });
  }
}

/** Where a device is, as users say it: two devices cannot be at one place. */
export function placeOf({ domain, base }: ToldDevice): string {
  return `${hex(base)} of domain ${formatDomain(domain)}`;
}

/** The device as it is in a domain. @param memory - of the guest, for all of its devices */
export function describeTold(
  told: ToldDevice,
  guest: number,
  memory: readonly GuestRange[] | undefined,
): DeviceDescription {
  const { base, irq, trigger, socket } = told;
  return {
    key: `told/${guest}/${hex(base)}`,
    guest,
    deviceId: told.type.deviceId,
    base,
    irq,
    ...(trigger === undefined ? {} : { trigger }),
    ...(memory === undefined ? {} : { memory }),
    ...(socket === undefined ? {} : { socket }),
  };
}
