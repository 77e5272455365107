/**
 * What a worker thread is doing, in memory that the main thread sees at any time: a thread that does
 * not come back from something cannot say so itself.
 */
export const PULSE = {
  /** 1 while modules are being loaded: a process that ends meanwhile would be aborted. */
  LOADING: 0,
  /** Kernel number of the thread, 0 before it runs. */
  TID: 1,
  /** Odd while device code runs, one more at each start and end. */
  DEVICE_TURN: 2,
  /** Seat of the device whose code runs. */
  DEVICE: 3,
  /** Index in {@link DEVICE_CALLS}. */
  CALL: 4,
  /** Odd while a front-end's eventfd is written. */
  NOTIFY_TURN: 5,
  /** The `NOTIFY_TURN` that the main thread wants to end. */
  INTERRUPT: 6,
  /** Seat of the device whose module is being loaded and one more, 0 while there is none. */
  LOADING_SEAT: 7,
} as const;
const LENGTH = 8;

/** Device code that a worker runs, for messages. */
export const DEVICE_CALLS = [
  'the top of its module',
  'createDevice',
  'process',
  'negotiated',
  'reset',
  'config',
  'writeConfig',
  'command',
  'queueStopping',
  'queueStopped',
  'a callback of its poller',
  'Symbol.dispose',
] as const;
export type DeviceCall = (typeof DEVICE_CALLS)[number];

/** Memory for one worker; loading is what it does first. */
export function createPulse(): Int32Array<SharedArrayBuffer> {
  const pulse = new Int32Array(new SharedArrayBuffer(4 * LENGTH));
  pulse[PULSE.LOADING] = 1;
  return pulse;
}
