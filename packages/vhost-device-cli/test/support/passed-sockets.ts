import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const DAEMON = fileURLToPath(new URL('../fixtures/plain-daemon.mjs', import.meta.url));

/** The fixture daemon, started as a supervisor starts it: with sockets, and what the environment says. */
export class SupervisedDaemon implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stdout = '';
  stderr = '';

  /**
   * @param args - of the command line
   * @param fds - get the numbers from 3 on
   * @param env - besides ours; `$$` stands for the process's number
   */
  constructor(
    args: readonly string[],
    fds: readonly number[] = [],
    env: Readonly<Record<string, string>> = {},
  ) {
    // A shell knows the number that the program is going to have.
    const told = Object.entries(env).map(([name, value]) => `export ${name}="${value}"; `);
    const script = `${told.join('')}exec "$0" "$@"`;
    this.child = spawn('/bin/sh', ['-c', script, process.execPath, DAEMON, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', ...fds],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    this.exit = new Promise((resolve) => {
      this.child.on('close', (code, signal) => resolve({ code, signal }));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exit;
  }
}
