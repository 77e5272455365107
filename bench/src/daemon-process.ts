import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A back-end under test. */
export class DaemonProcess {
  readonly name: string;
  readonly socket: string;
  readonly #child: ChildProcess;
  #stopping = false;

  constructor(name: string, socket: string, command: string, args: readonly string[]) {
    this.name = name;
    this.socket = socket;
    this.#child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    // Shown when it is of interest: one that ends by itself.
    let output = '';
    this.#child.stderr?.on('data', (chunk) => {
      output = (output + String(chunk)).slice(-4096);
    });
    this.#child.on('exit', (code) => {
      if (!this.#stopping) console.error(`${name} ended with ${code}\n${output}`);
    });
  }

  /** Resident memory in megabytes. */
  get rss(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) / 1024;
  }

  /** Ends the process and waits for it. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

/**
 * A daemon of rust-vmm's, when it is on this machine: what its variable names (`VHOST_DEVICE_RNG`), or
 * what the box has built.
 *
 * @param name - `vhost-device-rng`
 */
export function findRustDaemon(name: string): string | undefined {
  const given = process.env[name.toUpperCase().replaceAll('-', '_')];
  if (given !== undefined && given !== '') return given;
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'node-vmm');
  if (!existsSync(cache)) return undefined;
  return readdirSync(cache)
    .filter((entry) => entry.startsWith(`${name}-`))
    .flatMap((entry) => [join(cache, entry, 'bin', name), join(cache, entry, name)])
    .find((path) => existsSync(path));
}
