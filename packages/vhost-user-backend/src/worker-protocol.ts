import type { MessagePort } from 'node:worker_threads';
import type { RegionMapping } from '@node-vmm/vm-memory';
import type { VhostUserBackendErrorCode } from './errors.ts';
import type { ConnectHost, HostErrorRecord } from './host-protocol.ts';

// What the main thread and a worker say to each other. Everything is plain data: descriptors are
// numbers whose owner is the main thread, which closes one only after the worker has let go of it.

/** What a worker thread is born with. */
export interface WorkerData {
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

/** What the main thread needs to know about a device that lives in a worker. */
export interface DeviceDescription {
  readonly features: bigint;
  readonly queueMaxSizes: readonly number[];
  /** Bytes of configuration space, 0 when there is none. */
  readonly configSize: number;
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
  /** Next entry of the available ring to take. */
  readonly nextAvail: number;
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

/** A ring that stopped: its number and where to go on. */
export interface StoppedRing {
  readonly ring: number;
  readonly nextAvail: number;
}

/** What a ring counted since the device was made. */
export interface RingCounters {
  chains: number;
  malformedChains: number;
  notifications: number;
  suppressedNotifications: number;
  /** Kicks and other occasions on which the ring was looked at. */
  wakeups: number;
  /** Times that the ring could not be served: its place, its size or its indices cannot be. */
  broken: number;
}

/** Requests to a worker: parameters and result by name. */
export interface WorkerCalls {
  addDevice: {
    params: { device: number; name: string; module: string; options: unknown };
    result: DeviceDescription;
  };
  removeDevice: { params: { device: number }; result: undefined };
  negotiated: { params: { device: number; features: bigint }; result: undefined };
  reset: { params: { device: number }; result: undefined };
  readConfig: { params: { device: number; offset: number; length: number }; result: Uint8Array };
  writeConfig: { params: { device: number; offset: number; data: Uint8Array }; result: undefined };
  /** Results in the rings that had to stop. */
  setMemory: {
    params: {
      device: number;
      generation: number;
      mappings: readonly RegionMapping[];
      moves: readonly RingMove[];
    };
    result: StoppedRing[];
  };
  startRing: { params: { device: number; ring: number; config: RingConfig }; result: undefined };
  /** Results in the next available index; undefined when the ring did not run. */
  stopRing: { params: { device: number; ring: number }; result: number | undefined };
  enableRing: { params: { device: number; ring: number; enabled: boolean }; result: undefined };
  setKick: { params: { device: number; ring: number; fd: number | undefined }; result: undefined };
  setCall: { params: { device: number; ring: number; fd: number | undefined }; result: undefined };
  setErr: { params: { device: number; ring: number; fd: number | undefined }; result: undefined };
  counters: { params: { device: number }; result: RingCounters[] };
  /** Answered once the device has let go of that connection's eventfd. */
  hostLost: { params: { device: number; link: number; error: HostErrorRecord }; result: undefined };
}

export type WorkerCallName = keyof WorkerCalls;
export type Params<N extends WorkerCallName> = WorkerCalls[N]['params'];
export type Result<N extends WorkerCallName> = WorkerCalls[N]['result'];

/** A request on the wire. */
export interface WorkerRequest<N extends WorkerCallName = WorkerCallName> {
  readonly id: number;
  readonly call: N;
  readonly params: Params<N>;
}

/** An error as `postMessage` carries it: structured cloning would drop `code`. */
export interface ErrorRecord {
  readonly code: VhostUserBackendErrorCode;
  readonly message: string;
  readonly stack: string | undefined;
}

/** What a worker sends: answers, and events of its own accord. */
export type WorkerMessage =
  | { readonly type: 'answer'; readonly id: number; readonly result: unknown }
  | { readonly type: 'refusal'; readonly id: number; readonly error: ErrorRecord }
  | { readonly type: 'configChanged'; readonly device: number }
  | ConnectHost
  | { readonly type: 'notifyStalled'; readonly device: number }
  | { readonly type: 'memoryReleased'; readonly device: number; readonly generation: number }
  | { readonly type: 'deviceFailed'; readonly device: number; readonly error: ErrorRecord }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly context: object;
      readonly message: string;
    };
