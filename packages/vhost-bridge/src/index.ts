/**
 * The bridge from virtual machines to vhost-user back-ends: registers, wiring and the life of back-ends,
 * for any `Vm`. Who says which devices there are, and how a guest is attached to, is handed in.
 *
 * @packageDocumentation
 */
export { Bridge, type BridgeComponents } from './bridge.ts';
export type { BridgedVm, GuestKeeper } from './bridged-vm.ts';
export { CombinedSource } from './combined-source.ts';
export type {
  DeviceDescription,
  DeviceSink,
  DeviceSite,
  DeviceSource,
  HoldGuest,
  IrqTrigger,
} from './device-source.ts';
export { VhostBridgeError, type VhostBridgeErrorCode } from './errors.ts';
export type * from './guest-counters.ts';
export type { SaveKept } from './handover.ts';
export type * from './kept-device.ts';
export { MemoryRenewal, type MemoryUser } from './memory-renewal.ts';
export type { MemorySharing, PeerMappings } from './memory-sharing.ts';
export {
  FixedSockets,
  SocketDirectory,
  type SocketLease,
  type SocketProvider,
} from './socket-provider.ts';
export { type BackendStatus, SpawnedBackends } from './spawned-backends.ts';
export type * from './status.ts';
export {
  DEVICE_NAMES,
  deviceById,
  deviceByName,
  SUPPORTED_DEVICES,
  type SupportedDevice,
} from './supported-devices.ts';
