import type { KeptRecord, KeptRing } from '@node-vmm/vhost-user-master';
import type { MmioTransportState } from '@node-vmm/virtio-device';
import type { DeviceDescription, DeviceSite } from './device-source.ts';

/** Queues of a device whose driver is ready. */
export interface KeptQueues {
  /** Those that a back-end had. */
  readonly rings: readonly (KeptRing & { readonly index: number })[];
  /** Of devices whose back-ends record their requests. */
  readonly inflight?: KeptRecord;
}

/** A device as its driver knows it. */
export interface KeptDeviceState {
  readonly registers: MmioTransportState;
  readonly queues: KeptQueues;
}

/** A device that one bridge leaves to the next (`Bridge.keep`, `Bridge.takeUp`), as plain data. */
export interface KeptDevice {
  readonly description: DeviceDescription;
  /** Its back-end's: with another one it would be another device. */
  readonly socket?: string;
  /** Undefined for a device that has no back-end yet: its window is all that there is of it. */
  readonly state?: KeptDeviceState;
}

/** A window at which a guest finds no device, since it failed, that one bridge leaves to the next. */
export interface KeptVacancy {
  readonly site: DeviceSite;
  /** There was a back-end for it: it cannot be another server's. */
  readonly ours: boolean;
}

/** What one bridge leaves of a guest to the next, as plain data. */
export interface KeptDevices {
  readonly devices: readonly KeptDevice[];
  readonly vacancies: readonly KeptVacancy[];
}
