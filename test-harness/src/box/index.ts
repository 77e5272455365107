export type { Architecture } from './architecture.ts';
export type { Announcement, Bed, BedFeature } from './bed.ts';
export type { ExecResult } from './deadline.ts';
export type { ChannelListener, OpenChannel } from './dom0-channel.ts';
export { Dom0Process } from './dom0-process.ts';
export { BoxError, type BoxErrorCode } from './errors.ts';
export { bridgeArguments, type DeviceType } from './guest-devices.ts';
export { bootI2cBox, type I2cBox, OuterDaemon } from './i2c-setup.ts';
export { nodeArchives } from './node-archives.ts';
export { DOM0_PACKAGES, DOM0_ROOT, type Payload } from './payload.ts';
export { QemuGuest, type QemuGuestOptions, type QemuVhostUser } from './qemu-guest.ts';
export { type SetupOptions, setupBox } from './setup.ts';
export {
  type BedStatus,
  type BoxStatus,
  boxStatus,
  deviceModelStatus,
  findBed,
  lacking,
  type QemuKind,
  qemuNodeStatus,
  qemuProgram,
  qemuStatus,
  type Readiness,
  vhostDeviceRngPath,
  vhostDeviceRngXenPath,
} from './status.ts';
export { SystemdContainer, type SystemdContainerOptions } from './systemd-container.ts';
export { systemdStatus } from './systemd-status.ts';
export { type ExecOptions, XenBox, type XenBoxOptions } from './xen-box.ts';
export { type DomainOptions, HVMLOADER_UP_MS, XenDomain } from './xen-domain.ts';
