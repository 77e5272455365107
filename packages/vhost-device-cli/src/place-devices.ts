import { CliError } from './errors.ts';
import type { DevicesSpec, PlacedDevice } from './run-devices.ts';
import { checkPath, placeAt, socketPlaces } from './sockets.ts';

/**
 * Finds where devices are served: at paths of their own, or at the next socket of the daemon's.
 *
 * @throws {CliError} SOCKET_COUNT, USAGE, BAD_DIRECTORY
 * @throws {DescriptorError} when a socket that was passed is none
 */
export function placeDevices({ options, devices }: DevicesSpec): readonly PlacedDevice[] {
  const places = [...socketPlaces({ ...options, socketCount: options.socketCount ?? 1 })];
  const without = devices.filter(({ socketPath }) => socketPath === undefined).length;
  if (without !== places.length) {
    throw new CliError(
      'SOCKET_COUNT',
      `Cannot serve ${without} devices on ${places.length} sockets: give each a socket`,
    );
  }
  return devices.map(({ socketPath, ...device }) => {
    if (socketPath !== undefined) checkPath(socketPath);
    const place = socketPath === undefined ? places.shift() : placeAt(socketPath, options);
    return { ...device, place: place ?? {} };
  });
}
