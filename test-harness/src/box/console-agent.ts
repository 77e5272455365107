import { createHash } from 'node:crypto';
import { type Deferred, deferred, type ExecResult } from './deadline.ts';
import { BoxError } from './errors.ts';

/** What a console agent talks through: a serial line or a Xen console. */
export interface ConsoleLine {
  write(text: string): void;
}

const HELLO_INTERVAL_MS = 250;
/** Silence in the middle of an answer after which it is asked for again. */
const SILENCE_MS = 3000;
const MAX_RETRIES = 5;
/** A line longer than that is noise. */
const MAX_LINE = 64 * 1024;

interface Running {
  readonly id: number;
  readonly done: Deferred<ExecResult>;
  readonly lines: { o: Map<number, string>; e: Map<number, string> };
  retries: number;
  silence: NodeJS.Timeout | undefined;
}

function md5(data: Uint8Array): string {
  return createHash('md5').update(data).digest('hex');
}

/** Lines in order, decoded; what is missing or broken makes the check sum differ. */
function assemble(lines: ReadonlyMap<number, string>): Buffer {
  const text = [...lines.keys()].sort((a, b) => a - b).map((number) => lines.get(number));
  return Buffer.from(text.join(''), 'base64');
}

/**
 * Runs commands in a guest through the agent on its console (`test-harness/box/guest/
 * console-agent`, which describes the protocol). Commands run one after the other.
 */
export class ConsoleAgent {
  readonly #line: ConsoleLine;
  #partial = '';
  #nextId = 1;
  #running: Running | undefined;
  #hello: { nonce: string; done: Deferred<void> } | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #ended: Error | undefined;

  /** @param line - where to write; what comes back goes into {@link receive} */
  constructor(line: ConsoleLine) {
    this.#line = line;
  }

  /** Takes what the console says, commands' output and everything else. */
  receive(data: Uint8Array): void {
    const lines = (this.#partial + Buffer.from(data).toString('latin1')).split('\n');
    this.#partial = lines.pop() ?? '';
    if (this.#partial.length > MAX_LINE) this.#partial = '';
    for (const line of lines) this.#onLine(line.trimEnd());
  }

  /** The console is gone for good: everybody gets `error`, now and later. */
  end(error: Error): void {
    this.#ended = error;
    this.fail(error);
  }

  /** Whoever waits for the guest now gets `error`. */
  fail(error: Error): void {
    clearTimeout(this.#running?.silence);
    this.#running?.done.reject(error);
    this.#running = undefined;
    this.#hello?.done.reject(error);
    this.#hello = undefined;
  }

  /**
   * Waits until the agent answers. Wait no longer by calling {@link fail}.
   */
  async waitUp(): Promise<void> {
    if (this.#ended) throw this.#ended;
    const nonce = `n${this.#nextId++}`;
    const hello = { nonce, done: deferred<void>() };
    this.#hello = hello;
    this.#line.write(`\nH ${nonce}\n`);
    const timer = setInterval(() => this.#line.write(`\nH ${nonce}\n`), HELLO_INTERVAL_MS);
    try {
      await hello.done.promise;
    } finally {
      clearInterval(timer);
    }
  }

  /**
   * Runs a shell command in the guest.
   *
   * @param command - for `sh -c`; its stdin is empty
   * @param timeoutMs - after that the guest kills it; counted in whole seconds
   * @throws {BoxError} `TIMEOUT`, `PROTOCOL` when the answer stays broken
   */
  exec(command: string, timeoutMs: number): Promise<ExecResult> {
    const result = this.#queue.then(() => this.#exec(command, timeoutMs));
    this.#queue = result.catch(() => {});
    return result;
  }

  async #exec(command: string, timeoutMs: number): Promise<ExecResult> {
    if (this.#ended) throw this.#ended;
    const id = this.#nextId++;
    const seconds = Math.ceil(timeoutMs / 1000);
    const running: Running = {
      id,
      done: deferred<ExecResult>(),
      lines: { o: new Map(), e: new Map() },
      retries: 0,
      silence: undefined,
    };
    this.#running = running;
    const started = performance.now();
    // The guest kills the command in time; if even that is not heard of, the answer is lost.
    const lost = setTimeout(() => this.#again(running), (seconds + 2) * 1000);
    this.#line.write(`X ${id} ${seconds} ${Buffer.from(command).toString('base64')}\n`);
    try {
      const result = await running.done.promise;
      if (result.code === 137 && performance.now() - started >= seconds * 1000) {
        throw new BoxError('TIMEOUT', `Cannot run \`${command}\`: not finished in ${seconds} s`, {
          details: result.stdout + result.stderr,
        });
      }
      return result;
    } finally {
      clearTimeout(lost);
      clearTimeout(running.silence);
      this.#running = undefined;
    }
  }

  #onLine(line: string): void {
    // Not at the line's start: a message of the kernel may stand in front.
    const match = /@NV (hello|[oex]) (\S+)(?: (\S+)(?: (\S+)(?: (\S+))?)?)?$/.exec(line);
    if (!match) return;
    const [, kind, id, ...rest] = match;
    if (kind === 'hello') {
      if (id === this.#hello?.nonce) {
        this.#hello?.done.resolve();
        this.#hello = undefined;
      }
      return;
    }
    const running = this.#running;
    if (running === undefined || id !== String(running.id)) return;
    clearTimeout(running.silence);
    if (kind === 'o' || kind === 'e') {
      running.lines[kind].set(Number(rest[0]), rest[1] ?? '');
      running.silence = setTimeout(() => this.#again(running), SILENCE_MS);
      return;
    }
    const stdout = assemble(running.lines.o);
    const stderr = assemble(running.lines.e);
    if (md5(stdout) === rest[1] && md5(stderr) === rest[2] && /^\d+$/.test(rest[0] ?? '')) {
      const code = Number(rest[0]);
      running.done.resolve({ code, stdout: stdout.toString(), stderr: stderr.toString() });
    } else {
      this.#again(running);
    }
  }

  #again(running: Running): void {
    if (running !== this.#running) return;
    clearTimeout(running.silence);
    running.retries += 1;
    if (running.retries > MAX_RETRIES) {
      running.done.reject(
        new BoxError('PROTOCOL', 'Cannot read the answer of the guest: broken or missing'),
      );
      return;
    }
    running.lines.o.clear();
    running.lines.e.clear();
    running.silence = setTimeout(() => this.#again(running), SILENCE_MS);
    this.#line.write(`\nR ${running.id}\n`);
  }
}
