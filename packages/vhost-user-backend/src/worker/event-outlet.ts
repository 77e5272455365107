import { countEvent, EVENT_FLOW } from '../between/event-flow.ts';
import { plainJson } from './plain-json.ts';

/** Most events between the threads: a main thread that is busy, or guests that provoke them, cost no more. */
const MAX_EVENTS = 1024;
/** Most characters of them, over which the last one may be. */
const MAX_CHARS = 256 * 1024;
/** Of one event. */
const MAX_EVENT_CHARS = 64 * 1024;

/** What a device's instance tells those who listen outside. */
export class EventOutlet {
  readonly #flow: Int32Array;
  readonly #send: (text: string) => void;
  #lost = 0;

  /** @param flow - see `EVENT_FLOW` */
  constructor(flow: Int32Array, send: (text: string) => void) {
    this.#flow = flow;
    this.#send = send;
  }

  /** @throws {TypeError} when the event is no plain object of JSON, or its text is too long */
  emit(event: object | (() => object)): void {
    const flow = this.#flow;
    if (Atomics.load(flow, EVENT_FLOW.LISTENING) === 0) {
      this.#lost = 0;
      return;
    }
    const full =
      Atomics.load(flow, EVENT_FLOW.EVENTS) >= MAX_EVENTS ||
      Atomics.load(flow, EVENT_FLOW.CHARS) >= MAX_CHARS;
    if (full) {
      this.#lost++;
      return;
    }
    const made = typeof event === 'function' ? (event as () => object)() : event;
    const text = plainJson('an event', made, MAX_EVENT_CHARS);
    const told = this.#lost > 0 ? withLost(text, this.#lost) : text;
    this.#lost = 0;
    countEvent(flow, told, 1);
    this.#send(told);
  }
}

function withLost(text: string, lost: number): string {
  return JSON.stringify({ ...(JSON.parse(text) as object), lost });
}
