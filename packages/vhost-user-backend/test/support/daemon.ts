import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@node-vmm/vmm-sys-util';

export const ECHO = new URL('../fixtures/echo-device.mjs', import.meta.url);

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

/** A directory for sockets. */
export class Sockets {
  readonly directory = mkdtempSync(join(tmpdir(), 'nvmm-'));
  #next = 0;
  path(): string {
    return join(this.directory, `${this.#next++}.sock`);
  }
  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Descriptors open in this process. */
export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Calls `probe` until it holds, yielding to the event loop in between. */
export async function until(probe: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await probe())) await new Promise((resolve) => setTimeout(resolve, 1));
}
