import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The built program. */
export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** A directory for sockets, removed with the disposable. */
export function socketDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'i2c-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

/** The built program in a process of its own. */
export class DaemonProcess {
  readonly #child: ChildProcess;
  /** Resolves when the process has ended. */
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stdout = '';
  stderr = '';
  #onOutput: () => void = () => undefined;

  constructor(...args: string[]) {
    this.#child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
      this.#onOutput();
    });
    this.exit = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        resolve({ code, signal });
        this.#onOutput();
      });
    });
  }

  /** The JSON lines of the log so far; whatever else is on standard error is left out. */
  get log(): Record<string, unknown>[] {
    // What is behind the last end of line is half a line.
    return this.stderr
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Waits for so many log lines with this message. */
  async logged(message: string, count = 1): Promise<void> {
    const seen = (): boolean => this.log.filter(({ msg }) => msg === message).length >= count;
    while (!seen()) {
      if (this.#child.exitCode !== null) throw new Error(`daemon ended: ${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.#onOutput = resolve;
      });
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
