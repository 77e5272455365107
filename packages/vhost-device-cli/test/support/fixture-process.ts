import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../fixtures/program.mjs', import.meta.url));

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The fixture program in a process of its own. */
export class FixtureProcess {
  readonly child: ChildProcess;
  /** Resolves when all has been read, too: what it said last may come after its end. */
  readonly exit: Promise<Exit>;
  #ended = false;
  stdout = '';
  stderr = '';
  #onOutput: () => void = () => undefined;

  constructor(
    args: readonly string[],
    stderr: StdioOptions[number] = 'pipe',
    node: string[] = [],
    program = PROGRAM,
  ) {
    this.child = spawn(process.execPath, [...node, program, ...args], {
      stdio: ['ignore', 'pipe', stderr as 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
      this.#onOutput();
    });
    this.exit = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        this.#ended = true;
        resolve({ code, signal });
      });
    });
    void this.exit.then(() => this.#onOutput());
  }

  /** Begins to read standard error, which until then is stalled. */
  readStderr(): this {
    this.child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
      this.#onOutput();
    });
    return this;
  }

  async until(seen: () => boolean): Promise<void> {
    while (!seen()) {
      if (this.#ended) throw new Error(`ended: ${this.stdout}${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.#onOutput = resolve;
      });
    }
  }

  /** Waits until it has served a few more times, which shows that it still does. */
  async serves(): Promise<void> {
    await this.until(() => this.stdout.includes('ready'));
    const before = this.stdout.length;
    await this.until(() => this.stdout.length > before + 3 * 'served\n'.length);
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.child.kill(signal);
    return this.exit;
  }
}

/** A named pipe: both ends, of which the test reads when it likes. */
export class Fifo implements Disposable {
  readonly writer: number;
  readonly #directory = mkdtempSync(join(tmpdir(), 'cli-'));
  readonly #path = join(this.#directory, 'log');
  #reader: number | undefined;

  constructor() {
    execFileSync('mkfifo', [this.#path]);
    this.open();
    this.writer = openSync(this.#path, constants.O_WRONLY);
  }

  open(): void {
    this.#reader = openSync(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  /** What is in it now. */
  read(): string {
    let text = '';
    const buffer = Buffer.alloc(65_536);
    for (;;) {
      try {
        const count = readSync(this.#reader ?? -1, buffer);
        if (count === 0) return text;
        text += buffer.toString('utf8', 0, count);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return text;
        throw error;
      }
    }
  }

  closeReader(): void {
    if (this.#reader !== undefined) closeSync(this.#reader);
    this.#reader = undefined;
  }

  [Symbol.dispose](): void {
    this.closeReader();
    closeSync(this.writer);
    rmSync(this.#directory, { recursive: true });
  }
}
