import { ok } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ComplianceCase } from '@node-vmm/vmm-sys-util/testing';
import type { ProgramSpec } from '../daemon-program.ts';
import { type ConnectOptions, connectDevice, type DeviceBench } from '../device-bench.ts';
import { openFds } from '../waiting.ts';

/** A request that a device answers by itself, whatever its guest and host do. */
export interface ProbeRequest {
  readonly queue: number;
  readonly readable: readonly Uint8Array[];
  /** Sizes in bytes. */
  readonly writable: readonly number[];
  /** Looks at the answer: the writable buffers as far as they were written. Throws when it is wrong. */
  check?(answer: readonly Uint8Array[]): void;
}

/** What the suite has to know of a type of device. */
export interface DeviceProfile {
  /** Feature bits of its type that it may offer (0..23 and 50..63). */
  readonly features: bigint;
  /** Number of queues. */
  readonly queues: number;
  /** Bytes of configuration space, 0 for none. */
  readonly configSize: number;
  readonly probe: ProbeRequest;
}

/** A device that is served: what a case of the suite for devices works on. */
export interface DeviceSubject extends DeviceProfile {
  readonly socketPath: string;
  /** Process that serves it; its open descriptors are counted. */
  readonly pid: number;
  /**
   * Says words to the device from outside: `ServedDevice.command`, or `ControlClient.command` of
   * vhost-device-cli. Default: there is no way to.
   */
  command?(words: readonly string[]): Promise<unknown>;
  /** Words that are in the device's commands; the suite says them in any order. */
  readonly commandWords?: readonly string[];
}

/** A daemon's program: what a case of the suite for programs works on. */
export interface ProgramSubject extends ProgramSpec {
  readonly profile: DeviceProfile;
}

/** A rule of a device. */
export type DeviceCase = ComplianceCase<DeviceSubject>;

/** A rule of a program. */
export type ProgramCase = ComplianceCase<ProgramSubject>;

/** Requests that a daemon serves until it must have closed what it closes late. */
const PATIENCE = 200;

/** Connects to the subject. */
export function connect(
  { socketPath, queues }: Pick<DeviceSubject, 'socketPath' | 'queues'>,
  options: ConnectOptions = {},
): Promise<DeviceBench> {
  return connectDevice({ queues, ...options, socketPath });
}

/** Makes the subject's request on a connection and looks at the answer. */
export async function probe(bench: DeviceBench, { probe: request }: DeviceProfile): Promise<void> {
  const { queue, readable, writable } = request;
  const answer = await bench.queue(queue).request(readable, writable);
  request.check?.(answer);
}

/** Shows that the next front-end is served. */
export async function serves(
  subject: DeviceProfile & Pick<DeviceSubject, 'socketPath'>,
): Promise<void> {
  await using bench = await connect(subject);
  await probe(bench, subject);
}

/**
 * Runs a part of a case that ends its own connections, and shows that the next front-end is served
 * and that nothing was left open: of two moments with one front-end, the second has no more descriptors.
 */
export async function leavesNothing(
  subject: DeviceSubject,
  part: () => Promise<void>,
): Promise<void> {
  let before: number;
  {
    await using bench = await connect(subject);
    await probe(bench, subject);
    before = openFds(subject.pid);
  }
  await part();
  await using bench = await connect(subject);
  // What is closed late is closed by the time that so many requests have been served.
  for (let i = 0; i < PATIENCE; i++) {
    await probe(bench, subject);
    if (openFds(subject.pid) <= before) return;
    await sleep(5);
  }
  ok(openFds(subject.pid) <= before, `${openFds(subject.pid)} descriptors open, ${before} before`);
}

/**
 * What became of a message that is wrong: refused, or the connection has ended. Both are right; to
 * take it is not.
 *
 * @param acknowledgement - of the message
 */
export async function refused(bench: DeviceBench, acknowledgement: Promise<number>): Promise<void> {
  const outcome = await acknowledgement.then(
    (code) => (code === 0 ? 'taken' : 'refused'),
    () => 'refused',
  );
  ok(outcome === 'refused', 'the back-end acknowledged a message that is wrong');
  // An answer, if there still is a connection, says that it goes on.
  await alive(bench);
}

/** Whether the connection is still there, found out by a question. */
export async function alive({ frontend }: DeviceBench): Promise<boolean> {
  if (!frontend.connection.live) return false;
  try {
    await frontend.ask('VHOST_USER_GET_FEATURES', undefined);
    return true;
  } catch {
    return false;
  }
}
