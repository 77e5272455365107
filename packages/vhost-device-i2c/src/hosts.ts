import type { Args } from './args.ts';
import type { I2cHostOptions } from './device.ts';
import type { DeviceListEntry } from './device-list.ts';
import { I2cError } from './errors.ts';
import { checkAdapter, findAdapter, LINUX_PATHS, type LinuxPaths } from './linux/adapters.ts';
import type { BoardEntry } from './simulated/board.ts';

/** Name of the simulated bus in a device list; its number is 0. */
const SIMULATED = 'simulated';

/**
 * Finds the buses that the command line names and checks that guests can be given the addresses.
 *
 * @throws {I2cError} USAGE, NO_SUCH_ADAPTER, AMBIGUOUS_ADAPTER, PERMISSION, ADAPTER_UNUSABLE,
 *   ADDRESS_BUSY
 */
export function findHosts(
  args: Pick<Args, 'board' | 'devices'>,
  paths: LinuxPaths = LINUX_PATHS,
): I2cHostOptions[] {
  if (args.board !== undefined) return [simulated(args.board, args.devices)];
  const hosts = args.devices.map(({ adapter, addresses }) => {
    const { bus } = findAdapter(adapter, paths);
    return { kind: 'linux' as const, bus, addresses };
  });
  const buses = new Set(hosts.map(({ bus }) => bus));
  if (buses.size < hosts.length) {
    throw new I2cError(
      'USAGE',
      'Cannot use the device list: a name and a number in it are the same adapter',
    );
  }
  for (const { bus, addresses } of hosts) checkAdapter(bus, addresses, paths);
  return hosts;
}

function simulated(
  board: readonly BoardEntry[],
  devices: readonly DeviceListEntry[],
): I2cHostOptions {
  const [entry, ...rest] = devices;
  if (entry === undefined) {
    return { kind: 'simulated', board, addresses: board.map(({ address }) => address) };
  }
  const { bus, name } = entry.adapter;
  if (rest.length > 0 || (bus !== 0 && name !== SIMULATED)) {
    throw new I2cError(
      'USAGE',
      `Cannot use the device list with --simulate: the only adapter is 0, or "${SIMULATED}"`,
    );
  }
  return { kind: 'simulated', board, addresses: entry.addresses };
}
