import type { Params, Result, WorkerCallName } from '../between/worker-calls.ts';
import type { Answer } from './answer.ts';
import type { DeviceInstance } from './device-instance.ts';

type Slow = 'reset' | 'stopRing' | 'useMemory';
type Quick = Exclude<WorkerCallName, Slow | 'make' | 'dispose' | 'ping' | 'viewed'>;

type QuickCalls = {
  readonly [N in Quick]: (instance: DeviceInstance, params: Params<N>) => Result<N>;
};
type SlowCalls = {
  readonly [N in Slow]: (
    instance: DeviceInstance,
    params: Params<N>,
    answer: Answer<Result<N>>,
  ) => void;
};

/** Calls that are answered at once. */
const QUICK: QuickCalls = {
  negotiated: (instance, { features }) => instance.negotiated(features),
  readConfig: (instance, { offset, length }) => instance.readConfig(offset, length),
  writeConfig: (instance, { offset, data }) => instance.writeConfig(offset, data),
  command: (instance, { words }) => instance.command(words),
  attachMemory: (instance, { generation, ...parts }) => instance.attachMemory(generation, parts),
  memoryArrived: (instance, { generation, chunks }) => instance.memoryArrived(generation, chunks),
  memoryEnded: (instance, { generation, memories }) => instance.memoryEnded(generation, memories),
  dropMemory: (instance, { generation }) => instance.dropMemory(generation),
  startRing: (instance, { ring, config }) => instance.startRing(ring, config),
  abandon: (instance) => instance.abandon(),
  enableRing: (instance, { ring, enabled }) => instance.enableRing(ring, enabled),
  setRingFd: (instance, { ring, kind, fd }) => instance.setRingFd(ring, kind, fd),
  hostLost: (instance, { link, error }) => instance.hostLost(link, error),
  counters: (instance) => instance.counters(),
};

/** Calls that stop rings: answered when the device has let go of them. */
const SLOW: SlowCalls = {
  reset: (instance, { closing }, answer) => instance.reset(closing, answer),
  stopRing: (instance, { ring }, answer) => instance.stopRing(ring, answer),
  useMemory: (instance, { generation, moves }, answer) =>
    instance.useMemory(generation, moves, answer),
};

/**
 * Does what the main thread asks of an instance, other than to make it or to dispose of it.
 *
 * @throws what the instance throws; then there was no answer
 */
export function callInstance(
  instance: DeviceInstance,
  call: WorkerCallName,
  params: unknown,
  answer: Answer<unknown>,
): void {
  if (isSlow(call)) SLOW[call](instance, params as never, answer);
  else if (isQuick(call)) answer.resolve(QUICK[call](instance, params as never));
  else throw new TypeError(`Cannot answer the main thread: no call "${call}"`);
}

function isSlow(call: WorkerCallName): call is Slow {
  return Object.hasOwn(SLOW, call);
}

function isQuick(call: WorkerCallName): call is Quick {
  return Object.hasOwn(QUICK, call);
}
