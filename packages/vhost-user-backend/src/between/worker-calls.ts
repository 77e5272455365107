import type { MessagePort } from 'node:worker_threads';
import type { ChunkMapping, RegionMapping, WantedChunk } from '@node-vmm/vm-memory';
import type { LogLevel } from '@node-vmm/vmm-sys-util';
import type { DeviceCommandErrorCode, VhostUserBackendErrorCode } from '../errors.ts';
import type { RingCounters } from '../status.ts';
import type { ConnectHost, HostErrorRecord } from './host-protocol.ts';
import type { InflightMapping } from './inflight-mapping.ts';
import type { StateMemory } from './state-memory.ts';

// What the main thread and a worker say to each other. Everything is plain data: descriptors are
// numbers whose owner is the main thread, which closes one only after the worker has let go of it.

/** A mapping of the main thread's that a worker may look at. */
export interface LentMapping extends RegionMapping {
  /** Names what it is a part of: memory that is unmapped as a whole, and whose number is not used again. */
  readonly memory: number;
}

/** Guest memory that the main thread maps when a worker needs it. */
export interface DemandRange {
  readonly guestAddr: bigint;
  /** Bytes. */
  readonly length: bigint;
}

/** What a worker thread is born with. */
export interface WorkerData {
  readonly nodeVmmThread: 'vring';
  /** Eventfd that ends the thread's loop. */
  readonly stopFd: number;
  /** Eventfd that announces messages on `port`. */
  readonly wakeFd: number;
  /** Epoll set of the thread's loop. */
  readonly epollFd: number;
  /** What the thread is doing, for the main thread to look at; see `PULSE`. */
  readonly pulse: Int32Array;
  readonly port: MessagePort;
}

/** What the main thread needs to know about a device that lives in workers. */
export interface DeviceDescription {
  readonly features: bigint;
  readonly queueMaxSizes: readonly number[];
  /** Bytes of configuration space, 0 when there is none. */
  readonly configSize: number;
  /** Its state ends with the process: nobody can go on with its requests. */
  readonly losesState: boolean;
  /** It has a state file, and found nothing of its own in it. */
  readonly freshState: boolean;
  /** Memory that the device's instances share, when the first of them offers some. */
  readonly shared: SharedArrayBuffer | undefined;
}

/** Where a ring's parts are: guest addresses. */
export interface RingPlacement {
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
}

/** All that a worker needs to serve a ring. What the guest chose in it is checked when it is served. */
export interface RingConfig {
  /** Undefined while the ring is not within one memory region. */
  readonly placement: RingPlacement | undefined;
  readonly size: number;
  /** Negotiated feature word. */
  readonly features: bigint;
  /** Where to begin: what GET_VRING_BASE answered, or a fresh ring's. */
  readonly position: number;
  /** Where it records its requests in flight, for a front-end that keeps that; it says where to begin then. */
  readonly inflight: InflightMapping | undefined;
  readonly enabled: boolean;
  readonly kickFd: number;
  readonly callFd: number | undefined;
  readonly errFd: number | undefined;
}

/** Where a ring goes when memory is exchanged; without placement it has none and stops. */
export interface RingMove {
  readonly ring: number;
  readonly placement: RingPlacement | undefined;
}

/** A ring that stopped, and where to go on: what GET_VRING_BASE answers. */
export interface StoppedRing {
  readonly ring: number;
  readonly position: number;
}

/** Where a ring's descriptor tells: the driver kicked, chains are used, the ring is broken. */
export type RingFdKind = 'kick' | 'call' | 'err';

/** What a device says to a command: JSON, nothing, or why not. */
export type CommandAnswer =
  | { readonly text: string | undefined }
  | { readonly refusal: { readonly code: DeviceCommandErrorCode; readonly message: string } };

/**
 * The calls that the main thread makes of a device's instance in a worker, by name: what each takes and
 * what it is answered with. The worker answers between two batches, so that each finds the rings at
 * rest; those that stop rings are answered when the device has let go of them.
 */
export interface WorkerCalls {
  /** Loads the module and makes the instance: the first call for each. */
  make(params: {
    name: string;
    module: string;
    options: unknown;
    /** Its number among the device's instances, and how many there are at most. */
    instance: number;
    instances: number;
    /** From the first instance's description, undefined for the first. */
    shared: SharedArrayBuffer | undefined;
    /** Of this instance: see `EVENT_FLOW`. */
    events: Int32Array;
    /** For the first instance, where there is a file. */
    state: StateMemory | undefined;
  }): DeviceDescription;
  dispose(params: Nothing): void;
  negotiated(params: { features: bigint }): void;
  /** Stops all rings; then the device is as after power-on. */
  /** @param params - `closing`: the device is about to be disposed of, and only its rings stop */
  reset(params: { closing: boolean }): void;
  readConfig(params: { offset: number; length: number }): Uint8Array;
  writeConfig(params: { offset: number; data: Uint8Array }): void;
  /** Has the device do what somebody outside asks for. */
  command(params: { words: readonly string[] }): CommandAnswer;
  /** Makes memory visible that `useMemory` or `dropMemory` follows for: all of it that can fail. */
  attachMemory(params: {
    generation: number;
    mappings: readonly LentMapping[];
    onDemand: readonly DemandRange[];
  }): void;
  /** Chunks that the instance wanted. It gives them back by itself where it has that memory no more. */
  memoryArrived(params: { generation: number; chunks: readonly ChunkMapping[] }): void;
  /** Chunks have been taken away, or are to be given back: rings that are in them go to new ones. */
  memoryEnded(params: { generation: number; memories: readonly number[] }): void;
  /** Puts attached memory in place of the old. Results in the rings that had to stop. */
  useMemory(params: { generation: number; moves: readonly RingMove[] }): StoppedRing[];
  /** Forgets attached memory that is not to be used. */
  dropMemory(params: { generation: number }): void;
  startRing(params: { ring: number; config: RingConfig }): void;
  /** Results in where to go on; undefined when the ring did not run. */
  stopRing(params: { ring: number }): number | undefined;
  /** Rings that are stopping stop now, whatever the device still holds of them. */
  abandon(params: Nothing): void;
  enableRing(params: { ring: number; enabled: boolean }): void;
  setRingFd(params: { ring: number; kind: RingFdKind; fd: number | undefined }): void;
  /** A host thread has ended. Answered once the instance has let go of that connection's eventfd. */
  hostLost(params: { link: number; error: HostErrorRecord }): void;
  /** Of the thread, whatever the seat: it is there. */
  ping(params: Nothing): void;
  /**
   * Of the thread: which of these memories it still looks at, or has shown to device code that may.
   *
   * @param params - `collect`: what nobody has any more is to be found at once, which takes a while
   */
  viewed(params: { memories: readonly number[]; collect: boolean }): number[];
  /** By ring; zeros for those of other instances. */
  counters(params: Nothing): RingCounters[];
}

type Nothing = Record<never, never>;
export type WorkerCallName = keyof WorkerCalls;
export type Params<N extends WorkerCallName> = Parameters<WorkerCalls[N]>[0];
export type Result<N extends WorkerCallName> = ReturnType<WorkerCalls[N]>;

/** A call on its way to a worker. */
export interface WorkerRequest<N extends WorkerCallName = WorkerCallName> {
  readonly id: number;
  /** The device's seat in the worker: its number for as long as the instance exists. */
  readonly seat: number;
  readonly call: N;
  readonly params: Params<N>;
}

/** An error as `postMessage` carries it: structured cloning would drop `code`. */
export interface ErrorRecord {
  readonly code: VhostUserBackendErrorCode;
  readonly message: string;
  readonly stack: string | undefined;
}

/** What an instance says of its own accord. */
export type InstanceEvent =
  | { readonly type: 'configChanged' }
  /** The front-end's eventfd blocked the worker. */
  | { readonly type: 'notifyStalled' }
  /** Some of the front-end's memory is not there: nothing of it is served any more. */
  | { readonly type: 'memoryFault' }
  /** Nobody looks at the memory of a generation any more. */
  | { readonly type: 'memoryReleased'; readonly generation: number }
  /** Memory that is mapped on demand is needed: answered by `memoryArrived`. */
  | {
      readonly type: 'memoryWanted';
      readonly generation: number;
      readonly chunks: readonly WantedChunk[];
    }
  /** A chunk that is to be given back is in nobody's hands here. */
  | { readonly type: 'memoryIdle'; readonly memory: number }
  /** For those who listen from outside: JSON. */
  | { readonly type: 'emitted'; readonly text: string }
  | { readonly type: 'failed'; readonly error: ErrorRecord };

/** What a worker sends: answers to calls, events of instances, log lines. */
export type WorkerMessage =
  | { readonly type: 'answer'; readonly id: number; readonly result: unknown }
  | { readonly type: 'refusal'; readonly id: number; readonly error: ErrorRecord }
  | ConnectHost
  | { readonly type: 'event'; readonly seat: number; readonly event: InstanceEvent }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly context: object;
      readonly message: string;
    };
