import { errorMessage, LevelLogger, type Logger, type LogLevel } from '@node-vmm/vmm-sys-util';
import type { ToMain } from '../protocol.ts';

/** A logger whose lines the main thread writes: values are texts, numbers or flags there. */
export class RingLogger extends LevelLogger {
  readonly #post: (message: ToMain) => void;
  readonly #bindings: Record<string, unknown>;

  constructor(post: (message: ToMain) => void, bindings: Record<string, unknown> = {}) {
    super();
    this.#post = post;
    this.#bindings = bindings;
  }

  child(bindings: Record<string, unknown>): Logger {
    return new RingLogger(this.#post, { ...this.#bindings, ...bindings });
  }

  protected log(level: LogLevel, context: object, message: string): void {
    const plain = Object.entries({ ...this.#bindings, ...context }).map(([key, value]) => [
      key,
      ['number', 'boolean', 'bigint'].includes(typeof value) ? value : textOf(value),
    ]);
    this.#post({ type: 'log', level, context: Object.fromEntries(plain), message });
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : errorMessage(value);
}
