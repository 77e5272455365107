import type { MessagePort } from 'node:worker_threads';
import type { IoreqRequest } from '@node-vmm/ioreq-eventfd';
import type { GuestEndsData } from '@node-vmm/ioreq-eventfd/ends';
import type { MmioTransportState, QueueConfig } from '@node-vmm/virtio-device';
import type { AddressRange, AddressSpace, IoeventfdMatch, IrqCarrier } from '@node-vmm/vm-device';
import type { Fd, HostPointer, LogLevel, LoopTimersFds } from '@node-vmm/vmm-sys-util';
import type { ChannelEnds } from './channel.ts';

// What the main thread and a dispatch thread say to each other. Everything is plain data: descriptors and
// memory are the main thread's, which takes none away before the thread said that it has let go of it.

/** Ours: no guest has this number. */
export const NO_GUEST = -1;

/** Ours: words of memory in which a thread says what it is at, by their place. */
export const SERVING = {
  /** The guest for which it does something, {@link NO_GUEST} in between. */
  GUEST: 0,
  /** Its number, as the kernel has it; 0 before it runs. */
  TID: 1,
  LENGTH: 2,
} as const;

/** What a dispatch thread is born with. */
export interface DispatchThreadData {
  readonly nodeVmmThread: 'dispatch';
  readonly channel: ChannelEnds;
  readonly stopFd: Fd;
  readonly epollFd: Fd;
  readonly timers: LoopTimersFds;
  /** See {@link SERVING}. */
  readonly serving: SharedArrayBuffer;
  /**
   * Memory that both threads see, which a ring cannot carry: one for each `attach` (`GuestMemory`) and each
   * `device` (`DeviceMemory`), in their order and sent before them.
   */
  readonly memories: MessagePort;
  /** Of the thread; undefined: a little less than the process's, where that is allowed. */
  readonly nice: number | undefined;
}

/** A guest, as the thread is told of it: it takes nothing before `resume`. */
export interface GuestData {
  readonly name: string;
  readonly page: { readonly address: HostPointer; readonly length: number };
  readonly vcpus: number;
  readonly ends: GuestEndsData;
  readonly spaces: readonly AddressSpace[];
  /** Milliseconds. */
  readonly answerLimit: number;
  /** Another thread had it and has died: what that took is put back. */
  readonly resumed: boolean;
  /** The main thread wants to hear when the guest gives memory back. */
  readonly invalidates: boolean;
}

/** A device whose registers the thread serves. */
export interface DeviceData {
  readonly deviceId: number;
  readonly vendorId: number;
  readonly features: bigint;
  readonly queueMaxSizes: readonly number[];
  readonly configSize: number;
  readonly irq: number;
  readonly carrier: IrqCarrier;
  /** Registers of another transport, to go on from. */
  readonly state: MmioTransportState | undefined;
  /** Another thread had its registers and has died: they are gone on with as they are in memory. */
  readonly resumed: boolean;
}

/** To the thread. Of a guest that is gone nothing is said. */
export type ToThread =
  | { readonly type: 'attach'; readonly guest: number; readonly data: GuestData }
  | { readonly type: 'detach'; readonly guest: number }
  | { readonly type: 'pause'; readonly guest: number }
  | { readonly type: 'resume'; readonly guest: number }
  | {
      readonly type: 'map';
      readonly guest: number;
      readonly window: number;
      readonly range: AddressRange;
      /** Accesses wait for `ready`. */
      readonly gated: boolean;
    }
  | { readonly type: 'ready' | 'unmap'; readonly guest: number; readonly window: number }
  | {
      readonly type: 'ioeventfd';
      readonly guest: number;
      readonly wiring: number;
      readonly match: IoeventfdMatch;
      readonly fd: Fd;
    }
  | {
      readonly type: 'irqfd';
      readonly guest: number;
      readonly wiring: number;
      readonly window: number;
      readonly fd: Fd;
    }
  | {
      readonly type: 'irq';
      readonly guest: number;
      readonly irq: number;
      readonly level: boolean;
      readonly carrier: IrqCarrier;
    }
  | { readonly type: 'unwire'; readonly guest: number; readonly wiring: number }
  | {
      readonly type: 'device';
      readonly guest: number;
      readonly window: number;
      readonly data: DeviceData;
    }
  | {
      readonly type: 'tell';
      readonly guest: number;
      readonly window: number;
      readonly what: DeviceNews;
    }
  | {
      readonly type: 'answer';
      readonly guest: number;
      readonly id: number;
      readonly value: bigint;
    };

type Unaddressed<Message> = Message extends ToThread ? Omit<Message, 'guest'> : never;

/** What is said of a guest, to whichever thread has it. */
export type SeatMessage = Unaddressed<Exclude<ToThread, { type: 'attach' | 'detach' }>>;

/** What a device has to say to its driver; the last two are of interrupts that pass this process by. */
export type DeviceNews =
  | 'queueInterrupt'
  | 'configChanged'
  | 'needsReset'
  | 'vringAssisted'
  | 'vringNotAssisted'
  | 'state';

/** What a driver has its device do. */
export type DeviceCall =
  | { readonly call: 'acceptFeatures'; readonly features: bigint }
  | {
      readonly call: 'activate';
      readonly features: bigint;
      readonly queues: readonly QueueConfig[];
    }
  | { readonly call: 'startQueue'; readonly features: bigint; readonly queue: QueueConfig }
  | { readonly call: 'notifyQueue'; readonly queue: number }
  | { readonly call: 'stopQueue'; readonly id: number; readonly queue: number }
  | {
      readonly call: 'writeConfig';
      readonly id: number;
      readonly offset: number;
      readonly bytes: Uint8Array;
    }
  | { readonly call: 'reset'; readonly id: number };

/** To the main thread. */
export type ToMain =
  /** First of all: the number of a timer, which is deleted for it when it has ended. */
  | { readonly type: 'timer'; readonly id: bigint }
  | { readonly type: 'up' }
  /** It cannot run as it was asked to, and ends. */
  | { readonly type: 'refused'; readonly problem: string }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly context: object;
      readonly message: string;
    }
  | { readonly type: 'paused'; readonly guest: number }
  /** After `resume`: all that vCPUs were waiting with has been asked for. */
  | { readonly type: 'resumed'; readonly guest: number }
  | { readonly type: 'unwired' | 'stalled'; readonly guest: number; readonly wiring: number }
  | {
      readonly type: 'access';
      readonly guest: number;
      readonly id: number;
      readonly request: IoreqRequest;
    }
  | { readonly type: 'invalidate'; readonly guest: number; readonly id: number }
  | {
      readonly type: 'device';
      readonly guest: number;
      readonly window: number;
      readonly call: DeviceCall;
    }
  | {
      readonly type: 'restored';
      readonly guest: number;
      readonly window: number;
      readonly problem: string | undefined;
    }
  | {
      readonly type: 'state';
      readonly guest: number;
      readonly window: number;
      readonly state: MmioTransportState;
    };
