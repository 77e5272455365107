import type { DeviceCall, DeviceData, ToMain } from './protocol.ts';

/** A device whose registers a dispatch thread serves, as the guest's seat knows it: hears what the thread says of it. */
export interface SeatedDevice {
  /** What both threads share of it. */
  readonly shared: SharedArrayBuffer;
  /** What a thread is told of it. */
  readonly data: Omit<DeviceData, 'resumed'>;
  call(call: DeviceCall): void;
  /** Its registers go on from others. @param problem - or do not, and why */
  restored(problem: string | undefined): void;
  said(message: Extract<ToMain, { type: 'state' }>): void;
  /** The thread has died, and another goes on with its registers. */
  moved(): void;
  /** The thread is gone, and no other comes. */
  gone(): void;
}
