import type { OpenGuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import type { EventLoop, Logger, SignalGuard, Timers } from '@node-vmm/vmm-sys-util';
import type { ToMain } from '../protocol.ts';
import type { Serving } from './serving.ts';

/** What a seat has of its thread. */
export interface SeatComponents {
  readonly guest: number;
  readonly poller: EventLoop;
  readonly timers: Timers;
  readonly signals: SignalGuard;
  readonly logger: Logger;
  readonly post: (message: ToMain) => void;
  readonly serving: Serving;
  /** Gives what the main thread has said. */
  readonly channel: { take(): void };
  /** The memory that comes with the next `device`. */
  readonly memory: () => SharedArrayBuffer;
  readonly openEnds: OpenGuestEnds;
}
