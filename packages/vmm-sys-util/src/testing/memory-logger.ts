import { LevelLogger, type LogLevel } from '../level-logger.ts';

/** A line that was logged. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly context: Record<string, unknown>;
}

/** A logger that remembers. Its children remember in the same place. */
export class MemoryLogger extends LevelLogger {
  readonly lines: LogLine[];
  readonly #bindings: object;

  constructor(lines: LogLine[] = [], bindings: object = {}) {
    super();
    this.lines = lines;
    this.#bindings = bindings;
  }

  child(bindings: object): MemoryLogger {
    return new MemoryLogger(this.lines, { ...this.#bindings, ...bindings });
  }

  /** The first line whose message has that text. */
  find(text: string): LogLine | undefined {
    return this.lines.find(({ message }) => message.includes(text));
  }

  /** All lines whose message has that text. */
  saying(text: string): LogLine[] {
    return this.lines.filter(({ message }) => message.includes(text));
  }

  protected log(level: LogLevel, context: object, message: string): void {
    this.lines.push({ level, message, context: { ...this.#bindings, ...context } });
  }
}
