import type { MessagePort } from 'node:worker_threads';
import { errorMessage, LevelLogger, type Logger, type LogLevel } from '@node-vmm/vmm-sys-util';
import type { WorkerMessage } from '../between/worker-calls.ts';

/** A logger whose lines the main thread writes: a thread that blocks cannot wait for a stream. */
export class PortLogger extends LevelLogger {
  readonly #port: MessagePort;
  readonly #bindings: Record<string, unknown>;

  constructor(port: MessagePort, bindings: Record<string, unknown>) {
    super();
    this.#port = port;
    this.#bindings = bindings;
  }

  child(bindings: Record<string, unknown>): Logger {
    return new PortLogger(this.#port, { ...this.#bindings, ...bindings });
  }

  protected log(level: LogLevel, context: object, message: string): void {
    const all: object = { ...this.#bindings, ...context };
    const line = (plain: object): WorkerMessage => ({
      type: 'log',
      level,
      context: plain,
      message,
    });
    try {
      this.#port.postMessage(line(all));
    } catch {
      // A function or a handle in the context cannot be cloned; its text can.
      const texts = Object.entries(all).map(([key, value]) => [
        key,
        value instanceof Error ? value : errorMessage(value),
      ]);
      this.#port.postMessage(line(Object.fromEntries(texts)));
    }
  }
}
