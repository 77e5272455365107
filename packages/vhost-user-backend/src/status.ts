/** What a ring counted since the device was made. */
export interface RingCounters {
  chains: number;
  malformedChains: number;
  /**
   * Chains that the device completed with a `written` that is no integer of 0..`writableLength`. The driver
   * was told the nearest one.
   */
  wrongLengths: number;
  notifications: number;
  suppressedNotifications: number;
  /** Kicks and other occasions on which the ring was looked at. */
  wakeups: number;
  /** Times that the ring could not be served: its place, its size or its indices cannot be. */
  broken: number;
}

/** A device as `VhostUserDaemon.status` shows it: plain data. */
export interface DeviceStatus {
  readonly name: string;
  readonly socketPath: string | undefined;
  /**
   * `failed`: device code threw, or its worker ended. `restarting`: likewise, and it is made again.
   * `not answering`: its worker is busy or stuck.
   */
  readonly state: 'listening' | 'connected' | 'failed' | 'restarting' | 'not answering';
  /** Front-ends since the start. */
  readonly connections: number;
  /** Memory regions that the front-end shares now. */
  readonly memoryRegions: number;
  /** By ring, counted since the device was made, the last time; empty when the device has failed or does not answer. */
  readonly rings: readonly RingCounters[];
}

/** How the status is asked for. */
export interface StatusOptions {
  /** Milliseconds that a worker has to answer; without, it is waited for. */
  readonly timeoutMs?: number;
}
