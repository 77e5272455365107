import type { OpenGuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import type { EventLoop, Logger, SignalGuard, Timers } from '@node-vmm/vmm-sys-util';
import type { ToMain } from '../protocol.ts';

/** What a seat has of its thread. */
export interface SeatComponents {
  readonly guest: number;
  readonly poller: EventLoop;
  readonly timers: Timers;
  readonly signals: SignalGuard;
  readonly logger: Logger;
  readonly post: (message: ToMain) => void;
  /** Does something for the guest, which is to blame when that ends the thread. */
  readonly serve: (action: () => void) => void;
  /** Takes what the main thread has said. */
  readonly listen: () => void;
  /** The memory that comes with the next `device`. */
  readonly memory: () => SharedArrayBuffer;
  readonly openEnds: OpenGuestEnds;
}
