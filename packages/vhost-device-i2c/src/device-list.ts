import { I2C_ADDRESS_MAX, isI2cAddress, isTenBitPrefix } from './address.ts';
import { I2cError } from './errors.ts';

/** An adapter as the user names it: exactly one of the two is set. */
export interface AdapterSelector {
  /** N of `/dev/i2c-N`. */
  readonly bus?: number;
  /** As in `/sys/bus/i2c/devices/i2c-N/name`. */
  readonly name?: string;
}

/** One entry of the device list. */
export interface DeviceListEntry {
  readonly adapter: AdapterSelector;
  /** Addresses that the guest may reach; at least one. See `isI2cAddress`. */
  readonly addresses: readonly number[];
}

const ADDRESS = /^(?:0[xX][0-9a-fA-F]+|[0-9]+)$/;
const BUS = /^[0-9]+$/;
const BUS_MAX = 0x7fff_ffff;

/** A list on the command line that cannot be read. */
export function unreadable(what: string, list: string, state: string): I2cError {
  return new I2cError('USAGE', `Cannot read ${what} "${list}": ${state}`);
}

const usage = (list: string, state: string): I2cError => unreadable('device list', list, state);

/**
 * Reads an address: decimal, or hexadecimal after `0x`. 10-bit addresses are written as Linux does,
 * 0xa000 to 0xa3ff.
 *
 * @param fail - makes the error of what it is part of
 * @throws what `fail` makes
 */
export function parseAddress(text: string, fail: (state: string) => Error): number {
  if (!ADDRESS.test(text)) {
    throw fail(`"${text}" is no address; write it decimal (80) or hexadecimal (0x50)`);
  }
  const address = Number(text);
  if (isI2cAddress(address)) return address;
  if (isTenBitPrefix(address)) {
    throw fail(`address ${text} is no chip's; 0x78 to 0x7b are the prefix of 10-bit addresses`);
  }
  throw fail(
    `address ${text} is over ${I2C_ADDRESS_MAX} (0x7f); 10-bit addresses are written 0xa000 to 0xa3ff`,
  );
}

/**
 * Reads a device list: `bus|name:addr[:addr]...[,bus|name:addr[:addr]...]...`. A name may contain
 * colons, as some of Linux do: the addresses are the numbers at its end.
 *
 * @throws {I2cError} USAGE: empty, an address that is none, or anything given twice
 */
export function parseDeviceList(list: string): DeviceListEntry[] {
  const entries = list.split(',').map((entry) => parseEntry(entry.trim(), list));
  const adapters = new Set<string>();
  const addresses = new Set<number>();
  for (const entry of entries) {
    const key = String(entry.adapter.bus ?? `"${entry.adapter.name}"`);
    if (adapters.has(key))
      throw usage(list, `adapter ${key} is given twice; write its addresses in one entry`);
    adapters.add(key);
    for (const address of entry.addresses) {
      // The guest sees one bus: an address cannot be on two of ours.
      if (addresses.has(address)) {
        throw usage(list, `address ${address} (0x${address.toString(16)}) is given twice`);
      }
      addresses.add(address);
    }
  }
  return entries;
}

function parseEntry(entry: string, list: string): DeviceListEntry {
  const tokens = entry.split(':');
  const address = (token: string): number => parseAddress(token, (state) => usage(list, state));
  const isBus = BUS.test(tokens[0] as string);
  let first = isBus ? 1 : tokens.length;
  while (!isBus && first > 1 && ADDRESS.test(tokens[first - 1] as string)) first--;
  const adapter = tokens.slice(0, first).join(':').trim();
  if (adapter === '')
    throw usage(list, 'an entry names no adapter; write bus:address or name:address');
  if (first === tokens.length) {
    // A name swallowed what was meant as addresses: say which of them is none.
    if (!isBus && tokens.length > 1) address(tokens[tokens.length - 1] as string);
    throw usage(list, `adapter ${adapter} has no address; write ${adapter}:0x50`);
  }
  const addresses = tokens.slice(first).map(address);
  if (!isBus) return { adapter: { name: adapter }, addresses };
  const bus = Number(adapter);
  if (bus > BUS_MAX) throw usage(list, `bus ${adapter} is over ${BUS_MAX}`);
  return { adapter: { bus }, addresses };
}
