/**
 * The bridge from virtual machines to vhost-user back-ends, as a library: `xen-vhost-master` is one
 * program made of it.
 *
 * @packageDocumentation
 */
export { Bridge, type BridgeComponents } from './bridge.ts';
export type { BridgedVm } from './bridged-vm.ts';
export type { DeviceDescription, DeviceSink, DeviceSource } from './device-source.ts';
export { BridgeError, type BridgeErrorCode } from './errors.ts';
export {
  FixedSockets,
  SocketDirectory,
  type SocketLease,
  type SocketProvider,
} from './socket-provider.ts';
export { SpawnedBackends } from './spawned-backends.ts';
export type * from './status.ts';
export { deviceById, deviceByName, type SupportedDevice } from './supported-devices.ts';
