import { hasProtocolFeature } from '@node-vmm/vhost-user';
import type { GuestMemoryMmap } from '@node-vmm/vm-memory';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { VhostUserDaemon } from '../index.ts';
import { BenchQueue } from './bench-queue.ts';
import { FrontEnd } from './front-end.ts';
import { GUEST_BASE, GUEST_SIZE, Guest } from './guest.ts';
import { GuestHeap } from './guest-heap.ts';
import { type Acceptance, negotiate } from './negotiate.ts';
import { Sockets } from './sockets.ts';

const MEMORY_SIZE = 0x100_0000;
const QUEUE_SIZE = 128;

/** A device that is made for the test, in this process, or one that some daemon serves. */
export type DeviceUnderTest =
  | {
      /** As `VhostUserDaemon.addDevice` takes it. */
      readonly module: URL;
      readonly options?: unknown;
      readonly logger?: Logger;
    }
  | { readonly socketPath: string };

/** How to connect to it. */
export interface ConnectOptions extends Acceptance {
  /** Entries of each queue, default 128. */
  readonly queueSize?: number;
  /** Bytes of guest memory, default 16 MiB. Pages take up room when first touched. */
  readonly memorySize?: number;
  /** Number of queues of a device that does not tell it (no MQ), default 1. */
  readonly queues?: number;
}

/**
 * Connects a front-end with guest memory to a device, negotiates and starts all queues.
 *
 * @example
 * await using bench = await connectDevice({ module: new URL('../dist/device.js', import.meta.url) });
 * const [answer] = await bench.queue(0).request([Uint8Array.of(1, 2)], [16]);
 *
 * @throws whatever making the device threw
 * @throws {SysError} when nobody listens on the socket: ENOENT, ECONNREFUSED
 * @throws {VhostUserError} PEER_CLOSED
 */
export async function connectDevice(
  device: DeviceUnderTest & ConnectOptions,
): Promise<DeviceBench> {
  if ('socketPath' in device) return DeviceBench.connect(device.socketPath, device);
  const { module, options, logger } = device;
  const sockets = new Sockets();
  const daemon = new VhostUserDaemon(logger === undefined ? {} : { logger });
  const end = async (): Promise<void> => {
    await daemon.close();
    sockets.close();
  };
  try {
    const socketPath = sockets.path();
    // A failure of the device ends the connection: a test sees that, and why.
    const { failure } = daemon;
    await daemon.addDevice({ name: 'device', module, options, socketPath });
    return await DeviceBench.connect(socketPath, device, end, failure);
  } catch (error) {
    await end();
    throw error;
  }
}

/** A guest's side of a device: its queues, its configuration space, and the messages behind them. */
export class DeviceBench implements AsyncDisposable {
  readonly frontend: FrontEnd;
  readonly guest: Guest;
  /** Negotiated. */
  readonly features: bigint;
  /** Negotiated. */
  readonly protocolFeatures: bigint;
  readonly #queues: readonly BenchQueue[];
  readonly #end: () => Promise<void>;
  #closing: Promise<void> | undefined;

  private constructor(
    frontend: FrontEnd,
    guest: Guest,
    { features, protocolFeatures }: Required<Acceptance>,
    queues: readonly BenchQueue[],
    end: () => Promise<void>,
    failed: Promise<Error | undefined> | undefined,
  ) {
    this.frontend = frontend;
    this.guest = guest;
    this.features = features;
    this.protocolFeatures = protocolFeatures;
    this.#queues = queues;
    this.#end = end;
    let failure: Error | undefined;
    void failed?.then((error) => {
      failure = error;
    });
    void frontend.closed.then((reason) => {
      const why = failure === undefined ? '' : `: ${failure.message}`;
      for (const queue of queues) queue.end(`the connection has ended (${reason})${why}`, failure);
    });
  }

  /**
   * As `connectDevice` with a socket.
   *
   * @param end - what is to be closed with the bench
   * @param failed - resolves with why the device has failed, where that can be known: requests that it leaves
   * without an answer say it
   */
  static async connect(
    socketPath: string,
    options: ConnectOptions = {},
    end: () => Promise<void> = async () => undefined,
    failed?: Promise<Error | undefined>,
  ): Promise<DeviceBench> {
    const { queueSize = QUEUE_SIZE, memorySize = MEMORY_SIZE } = options;
    const frontend = new FrontEnd(socketPath);
    const guest = new Guest(memorySize);
    const queues: BenchQueue[] = [];
    try {
      const accepted = await negotiate(frontend, guest, options);
      const { features, protocolFeatures } = accepted;
      const count = await queueCount(frontend, protocolFeatures, options.queues ?? 1);
      // What is below belongs to rings that a test makes by itself.
      const heap = new GuestHeap(GUEST_BASE + BigInt(GUEST_SIZE), GUEST_BASE + BigInt(memorySize));
      const acknowledged = hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_REPLY_ACK');
      const surroundings = { frontend, guest, heap, features, acknowledged };
      for (let index = 0; index < count; index++) {
        queues.push(new BenchQueue(index, queueSize, surroundings));
      }
      for (const queue of queues) await queue.start();
      return new DeviceBench(frontend, guest, accepted, queues, end, failed);
    } catch (error) {
      release(frontend, guest, queues);
      throw error;
    }
  }

  get memory(): GuestMemoryMmap {
    return this.guest.memory;
  }

  get queues(): readonly BenchQueue[] {
    return this.#queues;
  }

  /** @throws {RangeError} when the device has no such queue */
  queue(index: number): BenchQueue {
    const queue = this.#queues[index];
    if (queue === undefined) {
      throw new RangeError(`Cannot use queue ${index}: the device has ${this.#queues.length}`);
    }
    return queue;
  }

  /** Reads configuration space; empty when the device refuses. */
  async readConfig(offset: number, length: number): Promise<Uint8Array> {
    const window = { offset, flags: 0, data: new Uint8Array(length) };
    return (await this.frontend.ask('VHOST_USER_GET_CONFIG', window)).data;
  }

  /** Writes configuration space. @returns the acknowledgement: 0 for success */
  writeConfig(offset: number, data: Uint8Array): Promise<number> {
    return this.frontend.tell('VHOST_USER_SET_CONFIG', { offset, flags: 0, data });
  }

  /** Closes the connection, the guest's memory and the daemon if it was made for this. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    release(this.frontend, this.guest, this.#queues);
    await this.#end();
  }
}

async function queueCount(frontend: FrontEnd, protocol: bigint, other: number): Promise<number> {
  if (!hasProtocolFeature(protocol, 'VHOST_USER_PROTOCOL_F_MQ')) return other;
  return Number(await frontend.ask('VHOST_USER_GET_QUEUE_NUM', undefined));
}

function release(frontend: FrontEnd, guest: Guest, queues: readonly BenchQueue[]): void {
  for (const queue of queues) queue.close();
  frontend.close();
  guest.close();
}
