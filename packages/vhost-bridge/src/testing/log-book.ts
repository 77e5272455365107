import type { Logger } from '@node-vmm/vmm-sys-util';

/** A line that was logged. */
export interface Line {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly context: Record<string, unknown>;
  readonly message: string;
}

/** A logger that remembers. */
export class LogBook implements Logger {
  readonly lines: Line[];
  readonly #bindings: Record<string, unknown>;

  constructor(lines: Line[] = [], bindings: Record<string, unknown> = {}) {
    this.lines = lines;
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
    return new LogBook(this.lines, { ...this.#bindings, ...bindings });
  }

  /** Lines with that text. */
  saying(message: string): Line[] {
    return this.lines.filter((line) => line.message.includes(message));
  }

  #log(level: Line['level'], context: object, message: string): void {
    this.lines.push({ level, context: { ...this.#bindings, ...context }, message });
  }
}
