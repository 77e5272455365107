import type { RingCounters } from './worker-protocol.ts';

/** A device as `VhostUserDaemon.status` shows it: plain data, counted since the device was made. */
export interface DeviceStatus {
  readonly name: string;
  readonly socketPath: string | undefined;
  /** `failed`: device code threw, or its worker ended. */
  readonly state: 'listening' | 'connected' | 'failed';
  /** Front-ends since the start. */
  readonly connections: number;
  /** Memory regions that the front-end shares now. */
  readonly memoryRegions: number;
  /** By ring; empty when the device has failed. */
  readonly rings: readonly RingCounters[];
}
