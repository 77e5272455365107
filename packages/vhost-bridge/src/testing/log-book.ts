import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
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

/** Waits for a condition; the test's timeout ends a failure. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}

/** Lets everything that is under way come to rest. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await delay(5);
}

/** A directory for sockets, removed on dispose. */
export class TempDir implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'xvm-'));

  join(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Descriptors that this process has open. */
export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** True while a process exists, zombies included. */
export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
