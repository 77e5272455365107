import type { Logger } from './logger.ts';

/** How severe a line is. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** A logger that does the same with lines of all levels. */
export abstract class LevelLogger implements Logger {
  debug(context: object, message: string): void {
    this.log('debug', context, message);
  }

  info(context: object, message: string): void {
    this.log('info', context, message);
  }

  warn(context: object, message: string): void {
    this.log('warn', context, message);
  }

  error(context: object, message: string): void {
    this.log('error', context, message);
  }

  abstract child(bindings: Record<string, unknown>): Logger;

  /** Must neither wait nor throw. */
  protected abstract log(level: LogLevel, context: object, message: string): void;
}
