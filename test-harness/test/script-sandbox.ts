import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect } from 'vitest';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { leftBehind, RUN_MARK } from '../src/readme/marked-processes.ts';

const COPIED = [
  'scripts',
  'package.json',
  'pnpm-lock.yaml',
  'pnpm-workspace.yaml',
  '.npmrc',
  'turbo.json',
  'tsconfig.base.json',
];

/** A script that has been started, and what it has printed. */
export class RunningScript {
  readonly child: ChildProcess;
  readonly closed: Promise<number | null>;
  stdout = '';
  stderr = '';
  #onOutput: () => void = () => undefined;

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#onOutput();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#onOutput();
    });
    this.closed = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
  }

  get output(): string {
    return this.stdout + this.stderr;
  }

  /** Resolves as soon as it has printed something: who looks now and then may be too late to interrupt it. */
  async prints(pattern: RegExp): Promise<void> {
    const printed = new Promise<void>((resolve) => {
      this.#onOutput = () => {
        if (pattern.test(this.output)) resolve();
      };
      this.#onOutput();
    });
    await Promise.race([printed, this.closed]);
    expect(this.output).toMatch(pattern);
  }

  /** @param to - its whole group, as a terminal does, or the process that was started alone */
  signal(signal: NodeJS.Signals, to: 'group' | 'process'): void {
    const { pid = 0 } = this.child;
    process.kill(to === 'group' ? -pid : pid, signal);
  }
}

/**
 * A checkout that has nothing but our scripts, and a machine of its own for them: home, directory for
 * temporary files, programs that come first in the search path.
 */
export class ScriptSandbox {
  readonly root: string = mkdtempSync(join(tmpdir(), 'nvscripts-'));
  /** `TMPDIR` of what runs here. */
  readonly tmp: string = this.make('tmp');
  readonly home: string = this.make('home');
  readonly checkout: string = this.make('checkout');
  readonly bin: string = this.make('bin');
  readonly #mark = randomUUID();
  readonly #running: RunningScript[] = [];

  constructor() {
    for (const name of COPIED) {
      cpSync(join(WORKSPACE_ROOT, name), join(this.checkout, name), { recursive: true });
    }
  }

  /** A directory of the machine's. */
  make(name: string): string {
    const path = join(this.root, name);
    mkdirSync(path);
    return path;
  }

  /** Puts a shell script in front of the search path. */
  program(name: string, ...lines: string[]): void {
    const path = join(this.bin, name);
    rmSync(path, { force: true });
    writeFileSync(path, `#!/bin/sh\n${lines.join('\n')}\n`);
    chmodSync(path, 0o755);
  }

  /** Puts the real thing into the checkout, by a link. */
  link(...names: string[]): void {
    for (const name of names) symlinkSync(join(WORKSPACE_ROOT, name), join(this.checkout, name));
  }

  /**
   * Puts what is installed into the checkout, by links.
   *
   * @param without - programs that stay out of the search path
   */
  linkModules(...without: readonly string[]): void {
    const from = join(WORKSPACE_ROOT, 'node_modules');
    const to = join(this.checkout, 'node_modules');
    mkdirSync(join(to, '.bin'), { recursive: true });
    // Each by itself: what says that all is installed is not to be written through a link.
    for (const name of readdirSync(from)) {
      if (name === '.pnpm' || !name.startsWith('.')) symlinkSync(join(from, name), join(to, name));
    }
    for (const name of readdirSync(join(from, '.bin'))) {
      if (without.includes(name)) continue;
      symlinkSync(join(from, '.bin', name), join(to, '.bin', name));
    }
  }

  write(name: string, content: string | object): void {
    const path = join(this.checkout, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  }

  /** @param more - added to the environment; undefined takes a variable out of it */
  start(
    argv: readonly string[],
    more: NodeJS.ProcessEnv = {},
    options: { uid?: number; gid?: number } = {},
  ): RunningScript {
    const [program = '', ...args] = argv;
    const own = Object.entries(process.env).filter(
      ([key]) => !/^(VITEST|TEST$|npm_|NODE_|SUDO_|XDG_|INIT_CWD)/.test(key),
    );
    const env = {
      ...Object.fromEntries(own),
      PATH: `${this.bin}${delimiter}${process.env['PATH'] ?? ''}`,
      HOME: this.home,
      TMPDIR: this.tmp,
      // npm's own, which newer Nodes put into the directory for temporary files.
      NODE_DISABLE_COMPILE_CACHE: '1',
      [RUN_MARK]: this.#mark,
      ...more,
    };
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    const child = spawn(program, args, {
      cwd: this.checkout,
      env,
      stdio: [...stdio],
      detached: true,
      ...options,
    });
    const script = new RunningScript(child);
    this.#running.push(script);
    return script;
  }

  async run(argv: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<RunningScript> {
    const script = this.start(argv, more);
    await script.closed;
    return script;
  }

  /** What is left of all that ran here: files, directories and sockets in TMPDIR, processes. */
  async leftovers(): Promise<string[]> {
    const processes = await leftBehind(this.#mark);
    return [...readdirSync(this.tmp), ...processes.map(({ command }) => command)];
  }

  async close(): Promise<void> {
    for (const { child } of this.#running) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    }
    for (const { pid } of await leftBehind(this.#mark, 0)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    rmSync(this.root, { recursive: true, force: true });
  }
}
