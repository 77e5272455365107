import { type ChildProcess, spawn } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { artefactFile } from './artefact.ts';
import { NPM_NODE, SYSTEMD_ROOT } from './artefacts/index.ts';
import { type Deferred, deferred, type ExecResult, mustSucceed, within } from './deadline.ts';
import { BoxError } from './errors.ts';
import { ASSETS, WORKSPACE_ROOT } from './paths.ts';
import { DOM0_ROOT } from './payload.ts';
import { ownCgroup, systemdStatus } from './systemd-status.ts';
import { tailsOf } from './tail.ts';
import { readManifest } from './workspace-closure.ts';

const NAMESPACES = ['--mount', '--pid', '--cgroup', '--net', '--ipc', '--uts'];
const LOOK_MS = 100;
/** Of no use in a container, and slow or failing there. */
const MASKED = ['getty-static.service', 'ldconfig.service', 'systemd-firstboot.service'];

/** What is in a container besides systemd and the workspace. */
export interface SystemdContainerOptions {
  /** Directories of workspace packages whose commands and unit files are installed. */
  readonly packages: readonly string[];
  readonly timeoutMs?: number;
}

/**
 * A systemd as the first process of a container: namespaces and a control group of their own on this
 * machine's kernel. The workspace is in `/opt/node-vmm`, and its packages' units in `/etc/systemd/system`.
 *
 * @example
 * const container = await SystemdContainer.boot({ packages: ['packages/vhost-device-rng'] });
 * await container.sh('systemctl start vhost-device-rng@0.socket');
 * await container.stop();
 */
export class SystemdContainer {
  readonly #scratch: string;
  readonly #cgroup: string;
  readonly #log: string;
  readonly #gone: Deferred<never> = deferred();
  #unshare: ChildProcess | undefined;
  #closed: Promise<void> = Promise.resolve();
  #pid = 0;

  private constructor() {
    this.#scratch = mkdtempSync(join(tmpdir(), `nvbox-${process.pid}-`));
    this.#cgroup = join(ownCgroup() ?? '', `nvbox-${process.pid}-${Date.now()}`);
    this.#log = join(this.#scratch, 'systemd.log');
  }

  /**
   * Starts systemd and waits for its `multi-user.target`.
   *
   * @throws {BoxError} `MISSING_ARTEFACT` where it cannot be; `TIMEOUT`, `MACHINE_EXITED`
   */
  static async boot(options: SystemdContainerOptions): Promise<SystemdContainer> {
    const { ready, reason } = systemdStatus();
    if (!ready) throw new BoxError('MISSING_ARTEFACT', `Cannot start systemd: ${reason}`);
    const { timeoutMs = 120_000 } = options;
    const container = new SystemdContainer();
    try {
      container.#install(options.packages);
      container.#start();
      await within(Promise.race([container.#up(), container.#gone.promise]), timeoutMs, () =>
        container.#error('TIMEOUT', `Cannot start systemd: it is not up in ${timeoutMs} ms`),
      );
      return container;
    } catch (error) {
      await container.stop();
      throw error;
    }
  }

  /** A path of the container as this machine has it. */
  path(path: string): string {
    return `/proc/${this.#pid}/root${path}`;
  }

  /**
   * Runs a shell command in the container.
   *
   * @param options - `timeoutMs`: after that the command is killed; default 60 s
   * @throws {BoxError} `TIMEOUT`, `MACHINE_EXITED`; a non-zero exit code is the caller's to judge
   */
  async exec(command: string, options: { timeoutMs?: number } = {}): Promise<ExecResult> {
    const { timeoutMs = 60_000 } = options;
    const enter = ['-t', String(this.#pid), ...NAMESPACES, '--root', '--wd=/'];
    const shell = ['env', '-i', 'PATH=/usr/local/bin:/usr/sbin:/usr/bin', 'sh', '-c', command];
    const child = spawn('nsenter', [...enter, '/usr/bin/busybox', ...shell], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const printed = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        printed[name] += text;
      });
    }
    const ended = new Promise<ExecResult>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => {
        if (code !== null) resolve({ code, ...printed });
        else reject(this.#error('TIMEOUT', `Cannot run \`${command}\`: not in ${timeoutMs} ms`));
      });
    });
    return await Promise.race([ended, this.#gone.promise]);
  }

  /** Like {@link exec} for a command that has to succeed; returns its stdout. */
  async sh(command: string, options: { timeoutMs?: number } = {}): Promise<string> {
    const result = await this.exec(command, options);
    return mustSucceed('the container', command, result, (...args) => this.#error(...args));
  }

  /** Ends everything in the container at once. */
  async stop(): Promise<void> {
    this.#gone.reject(new BoxError('MACHINE_EXITED', 'Cannot use the container: it was stopped'));
    this.#unshare?.kill('SIGKILL');
    await this.#closed;
    await removeCgroup(this.#cgroup);
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  #install(packages: readonly string[]): void {
    const root = join(this.#scratch, 'root');
    const units = join(root, 'etc/systemd/system');
    const commands = join(root, 'local/bin');
    for (const directory of [units, commands, join(root, 'etc/default')]) {
      mkdirSync(directory, { recursive: true });
    }
    for (const name of ['group', 'machine-id', 'passwd']) {
      cpSync(join(ASSETS, 'systemd', name), join(root, 'etc', name));
    }
    for (const name of MASKED) writeFileSync(join(units, name), '');
    for (const directory of packages) {
      const { bin = {} } = readManifest(join(WORKSPACE_ROOT, directory));
      for (const [name, file] of Object.entries(typeof bin === 'string' ? {} : bin)) {
        const program = join(DOM0_ROOT, directory, file);
        writeFileSync(join(commands, name), `#!/bin/sh\nexec node ${program} "$@"\n`, {
          mode: 0o755,
        });
      }
      const shipped = join(WORKSPACE_ROOT, directory, 'share/systemd');
      if (existsSync(shipped)) cpSync(shipped, units, { recursive: true });
    }
  }

  #start(): void {
    mkdirSync(this.#cgroup);
    const enter = [
      join(ASSETS, 'systemd/enter'),
      join(this.#scratch, 'root'),
      artefactFile(SYSTEMD_ROOT, 'usr'),
      artefactFile(NPM_NODE.x86_64, 'node'),
      WORKSPACE_ROOT,
    ];
    // A process is in the control group before it makes a namespace of it.
    const script = `echo $$ > ${this.#cgroup}/cgroup.procs && exec unshare "$@"`;
    const unshare = [...NAMESPACES, '--fork', '--kill-child=KILL', 'sh', ...enter];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'sh', '-c', script, 'sh', ...unshare], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#unshare = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data: Buffer) => appendFileSync(this.#log, data));
    }
    this.#closed = new Promise((resolve) => {
      const end = (state: string): void => {
        this.#gone.reject(this.#error('MACHINE_EXITED', `Cannot go on: systemd ${state}`));
        resolve();
      };
      child.on('error', (error) => end(`cannot be started: ${error.message}`));
      child.on('close', (code, signal) => end(`ended: ${signal ?? `exit code ${code}`}`));
    });
  }

  async #up(): Promise<void> {
    const { pid } = this.#unshare ?? {};
    for (;;) {
      await sleep(LOOK_MS);
      this.#pid = Number.parseInt(readChildren(pid), 10) || 0;
      // Its root is systemd's when the shell before it has gone.
      if (this.#pid === 0 || !existsSync(this.path('/run/systemd/private'))) continue;
      const { code } = await this.exec('systemctl is-active multi-user.target');
      if (code === 0) return;
    }
  }

  #error(code: BoxError['code'], message: string): BoxError {
    return new BoxError(code, message, { details: tailsOf([this.#log]) });
  }
}

function readChildren(pid: number | undefined): string {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  } catch {
    return '';
  }
}

/** Removes a control group and those below; the last process may still be leaving it. */
async function removeCgroup(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeCgroup(join(path, entry.name));
  }
  for (let tries = 0; tries < 50; tries++) {
    try {
      rmdirSync(path);
      return;
    } catch {
      await sleep(LOOK_MS);
    }
  }
  throw new BoxError('COMMAND_FAILED', `Cannot remove ${path}: it is in use (${dirname(path)})`);
}
