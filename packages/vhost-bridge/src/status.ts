// What `Bridge.status` shows: plain data.
import type { HeldAccesses } from '@node-vmm/vm-device';
import type { GuestActivity, GuestCounters } from './guest-counters.ts';

/** A guest that is attached to. */
export interface GuestStatus extends GuestActivity {
  /** Its domid. */
  readonly guest: number;
  /** `xen:3`. */
  readonly vm: string;
  readonly devices: number;
}

/** A queue that the driver has set up. */
export interface QueueStatus {
  readonly queue: number;
  readonly size: number;
  /** True while a back-end serves it. */
  readonly started: boolean;
  readonly notificationsAssisted: boolean;
  readonly interruptsAssisted: boolean;
}

/** What a device that is up shows of itself. */
export interface BridgedDeviceStatus {
  /** `away`: gone, and tried again until it is back. */
  readonly backend: 'connected' | 'away';
  /** Device status bits as the driver reads them. */
  readonly driverStatus: number;
  /** Feature bits that the driver chose, in hexadecimal; undefined until it is ready. */
  readonly features: string | undefined;
  /** What the driver did wrong, by kind. */
  readonly faults: object;
  readonly queues: readonly QueueStatus[];
}

/** A device of a guest. */
export interface DeviceStatus extends Partial<BridgedDeviceStatus> {
  readonly device: string;
  readonly guest: number;
  /** Undefined where that is what is wrong with it; so is `irq`. */
  readonly type: string | undefined;
  /** Of its virtio-mmio window, in hexadecimal. */
  readonly base: string;
  readonly irq: number | undefined;
  /** Of its back-end; undefined while none is assigned. */
  readonly socket: string | undefined;
  /** `coming up` until its back-end has answered for the first time; `failed`: its guest finds none. */
  readonly state: 'coming up' | 'up' | 'going down' | 'failed';
  /** Of a device that failed: why. */
  readonly reason?: string;
}

/** What was counted of devices of one type since the bridge was made. */
export interface DeviceTotals {
  /** Back-ends that came in the place of another one. */
  readonly reconnects: number;
  /** Devices that failed to come up. */
  readonly failures: number;
  /** What drivers did wrong, by kind. */
  readonly faults: Readonly<Record<string, number>>;
}

/** What was counted since the bridge was made, of those included that have gone; never reset. */
export interface BridgeTotals {
  readonly counters: Partial<GuestCounters>;
  readonly held: HeldAccesses;
  /** By the name of the type; `other`: of all that have none. */
  readonly devices: Readonly<Record<string, DeviceTotals>>;
}

/** Everything that a bridge serves. */
export interface BridgeStatus {
  readonly guests: readonly GuestStatus[];
  readonly devices: readonly DeviceStatus[];
  readonly totals: BridgeTotals;
}
