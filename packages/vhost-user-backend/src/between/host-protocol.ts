import type { MessagePort } from 'node:worker_threads';

// What is said about host threads: between a vring worker and the main thread, which brings both
// together, between the main thread and a host thread, and then between worker and host thread alone.

/** What a host thread is doing, in memory that the main thread sees at any time. */
export const HOST_PULSE = {
  /** 1 while modules are being loaded: a process that ends meanwhile would be aborted. */
  LOADING: 0,
  /** Kernel number of the thread, 0 before it runs. */
  TID: 1,
  /** 1 while the host works on a request. */
  BUSY: 2,
} as const;
export const HOST_PULSE_LENGTH = 3;

/** What a host thread is born with. */
export interface HostThreadData {
  readonly nodeVmmThread: 'host';
  /** URL of the module that exports `createHost`. */
  readonly module: string;
  readonly options: unknown;
  readonly pulse: Int32Array;
}

/** A device in a vring worker wants to be connected. */
export interface ConnectHost {
  readonly type: 'connectHost';
  /** Of the device's instance in its worker. */
  readonly seat: number;
  /** Number of the connection, one of its device. */
  readonly link: number;
  readonly key: string;
  readonly module: string;
  readonly options: unknown;
  /** For the host thread. */
  readonly port: MessagePort;
  /**
   * Eventfd that the host thread signals after each message on `port`. The main thread's, which closes
   * it when both sides have let go of it: the worker does so before it closes its port.
   */
  readonly wakeFd: number;
}

/** An error as `postMessage` carries it: structured cloning would drop `code`. */
export interface HostErrorRecord {
  readonly code: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
}

/** From the main thread to a host thread. */
export type HostControl =
  | {
      readonly type: 'connect';
      readonly connection: number;
      readonly port: MessagePort;
      readonly wakeFd: number;
    }
  /** Ends the thread, after the request that it works on. */
  | { readonly type: 'end' };

/** From a host thread to the main thread. */
export type HostEvent =
  /** The other side closed it, and this one has let go of it. */
  | { readonly type: 'closed'; readonly connection: number }
  /** There is no host; the thread ends. */
  | { readonly type: 'failed'; readonly error: HostErrorRecord };

/** From a worker to a host thread, by the port of a connection. */
export type HostRequest =
  | { readonly type: 'request'; readonly request: unknown }
  /** The last one: what was asked before and has not begun is not to be done. */
  | { readonly type: 'close' };

/** From a host thread to a worker: in the order of the requests. */
export type HostMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'answer'; readonly answer: unknown }
  | { readonly type: 'refusal'; readonly error: HostErrorRecord };

/** An error for the other thread. */
export function hostErrorRecord(error: unknown): HostErrorRecord {
  if (!(error instanceof Error)) {
    return { code: undefined, message: String(error), stack: undefined };
  }
  const { code } = error as { code?: unknown };
  return {
    code: typeof code === 'string' ? code : undefined,
    message: error.message,
    stack: error.stack,
  };
}

/** An error of the other thread, with its code and its stack. */
export function hostErrorOf({ code, message, stack }: HostErrorRecord): Error {
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return code === undefined ? error : Object.assign(error, { code });
}
