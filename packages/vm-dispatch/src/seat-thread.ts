import type { ToThread } from './protocol.ts';

/** What a seat has of its thread's handle. */
export interface SeatThread {
  /** The guest's number for messages. */
  readonly id: number;
  readonly post: (message: ToThread) => void;
  /** Sends memory, before the message that it belongs to. */
  readonly lend: (memory: SharedArrayBuffer) => void;
  /** Sends what had no room yet. */
  readonly flush: () => void;
  readonly onReleased: () => void;
  /** It does not come to what it was told. */
  readonly onStuck: () => void;
}
