import type { MessagePort } from 'node:worker_threads';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import type { WorkerMessage } from '../between/worker-calls.ts';

type Level = Extract<WorkerMessage, { type: 'log' }>['level'];

/** A logger whose lines the main thread writes: a thread that blocks cannot wait for a stream. */
export class PortLogger implements Logger {
  readonly #port: MessagePort;
  readonly #bindings: Record<string, unknown>;

  constructor(port: MessagePort, bindings: Record<string, unknown>) {
    this.#port = port;
    this.#bindings = bindings;
  }

  debug(context: object, message: string): void {
    this.#log('debug', context, message);
  }

  info(context: object, message: string): void {
    this.#log('info', context, message);
  }

  warn(context: object, message: string): void {
    this.#log('warn', context, message);
  }

  error(context: object, message: string): void {
    this.#log('error', context, message);
  }

  child(bindings: Record<string, unknown>): Logger {
    return new PortLogger(this.#port, { ...this.#bindings, ...bindings });
  }

  #log(level: Level, context: object, message: string): void {
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
