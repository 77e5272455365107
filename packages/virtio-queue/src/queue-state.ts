/** Position of a queue between driver and device, for GET_VRING_BASE, save and restore. */
export interface QueueState {
  /** Index of the next available entry that the device will take, 0..65535. */
  readonly nextAvail: number;
  /** Index of the next used entry that the device will write, 0..65535. */
  readonly nextUsed: number;
}
