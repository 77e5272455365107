import type { Logger } from '@node-vmm/vmm-sys-util';

/** A line that was logged. */
export interface LogLine {
  level: string;
  message: string;
  context: Record<string, unknown>;
}

/** A logger that remembers. */
export class MemoryLogger implements Logger {
  readonly lines: LogLine[];
  readonly #bindings: object;

  constructor(lines: LogLine[] = [], bindings: object = {}) {
    this.lines = lines;
    this.#bindings = bindings;
  }
  #log(level: string, context: object, message: string): void {
    this.lines.push({ level, message, context: { ...this.#bindings, ...context } });
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
  child(bindings: object): Logger {
    return new MemoryLogger(this.lines, { ...this.#bindings, ...bindings });
  }
  find(text: string): LogLine | undefined {
    return this.lines.find(({ message }) => message.includes(text));
  }
}
