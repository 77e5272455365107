import process from 'node:process';
import { isatty } from 'node:tty';
import { type Logger, RateLimitedLogger } from '@node-vmm/vmm-sys-util';
import { type Logger as Pino, pino } from 'pino';
import type { LogLevel } from './log-levels.ts';
import { LogWriter } from './log-writer.ts';
import { openOutput } from './output.ts';
import { disarm } from './terminal-text.ts';

const STDERR = 2;
/** How long a process that ends waits for a reader of its last lines, milliseconds. */
const FLUSH_MS = 200;

export interface LoggerOptions {
  readonly level: LogLevel;
  /** In every line as `name`; default none. */
  readonly name?: string;
}

/** A program's logger: what `createLogger` makes. */
export interface ProgramLogger extends Logger {
  /** Writes a line whatever the level is and however many there were. */
  report(context: object, message: string): void;
  /** Writes text that is no log line, in its place among them; or to another descriptor. */
  print(text: string, fd?: number): void;
  /** Waits 200 ms at most for readers. */
  flush(): void;
}

/** See `createLogger`. */
export async function makeProgramLogger(options: LoggerOptions): Promise<ProgramLogger> {
  const format = isatty(STDERR) ? await prettyFormat() : (line: string): string => line;
  const writer = new LogWriter(openOutput(STDERR), {
    onDropped: (dropped) => unconditional.warn({ dropped }, `${dropped} log lines dropped`),
  });
  const { level, name } = options;
  const root: Pino = pino(
    { level, base: { pid: process.pid, ...(name === undefined ? {} : { name }) } },
    { write: (line) => writer.write(format(line)) },
  );
  const unconditional = root.child({}, { level: 'info' });
  const writers = new Map([[STDERR, writer]]);
  const writerOf = (fd: number): LogWriter => {
    const known = writers.get(fd) ?? new LogWriter(openOutput(fd));
    writers.set(fd, known);
    return known;
  };
  const flush = (): void => {
    for (const each of writers.values()) each.flush(FLUSH_MS);
  };
  process.on('exit', flush);
  const limited = RateLimitedLogger.wrap(root);
  return Object.assign(limited, {
    report: (context: object, message: string) => unconditional.info(context, message),
    print: (text: string, fd: number = STDERR) => writerOf(fd).write(text),
    flush,
  });
}

/** For people; loaded only for them. */
async function prettyFormat(): Promise<(line: string) => string> {
  const { prettyFactory } = await import('pino-pretty');
  const { NO_COLOR, TERM } = process.env;
  const pretty = prettyFactory({
    colorize: (NO_COLOR ?? '') === '' && TERM !== 'dumb',
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,name',
  });
  return (line) => pretty(disarm(line)) ?? '';
}
