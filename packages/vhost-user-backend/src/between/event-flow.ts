/**
 * What both sides know of the events of an instance: whether anybody wants them, and how many are on
 * their way. In shared memory, so that neither has to ask.
 */
export const EVENT_FLOW = {
  /** 1 while somebody listens. */
  LISTENING: 0,
  /** Events that were sent and not taken yet. */
  EVENTS: 1,
  /** Their texts, in characters. */
  CHARS: 2,
} as const;
const LENGTH = 3;

/** Memory for one instance. */
export function createEventFlow(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(4 * LENGTH));
}

/** An event has been sent, or, with -1, taken. */
export function countEvent(flow: Int32Array, text: string, by: 1 | -1): void {
  Atomics.add(flow, EVENT_FLOW.EVENTS, by);
  Atomics.add(flow, EVENT_FLOW.CHARS, by * text.length);
}
