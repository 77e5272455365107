import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type QemuKind, qemuProgram } from '../../src/box/index.ts';

/** A machine with shared memory and nothing in it that runs. */
const MACHINE = [
  ...['-M', 'q35,memory-backend=mem', '-m', '64', '-S', '-nodefaults', '-display', 'none'],
  ...['-object', 'memory-backend-memfd,id=mem,size=64M,share=on'],
];

/** An answer of QEMU's. */
export interface QmpAnswer {
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

/** A QEMU whose guest never runs, spoken to by the QEMU Machine Protocol. */
export class QmpMachine implements AsyncDisposable {
  /** How it ended: an exit code or a signal. */
  readonly exit: Promise<number | string>;
  /** What it said on its standard error so far. */
  stderr = '';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: ((answer: QmpAnswer) => void)[] = [];

  constructor(qemu: QemuKind, args: readonly string[]) {
    const argv = [qemuProgram(qemu), ...MACHINE, '-qmp', 'stdio', ...args];
    // The kernel kills it when this process dies.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], { stdio: 'pipe' });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.#child.stdin.on('error', () => {});
    createInterface(this.#child.stdout).on('line', (line) => {
      const message = JSON.parse(line) as QmpAnswer;
      // What else it says is its greeting and events.
      if ('return' in message || 'error' in message) this.#waiting.shift()?.(message);
    });
    this.exit = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (code, signal) => {
        resolve(signal ?? code ?? -1);
        for (const wait of this.#waiting.splice(0)) wait({ error: GONE });
      });
    });
  }

  /** Runs a command. */
  async ask(execute: string, args: object = {}): Promise<QmpAnswer> {
    const answer = new Promise<QmpAnswer>((resolve) => this.#waiting.push(resolve));
    this.#child.stdin.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    return await answer;
  }

  /** Waits until the machine is made and takes commands. */
  async up(): Promise<void> {
    const { error } = await this.ask('qmp_capabilities');
    if (error !== undefined) throw new Error(`Cannot use QEMU: ${error.desc}: ${this.stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exit;
  }
}

const GONE = { class: 'Gone', desc: 'QEMU has ended' };
