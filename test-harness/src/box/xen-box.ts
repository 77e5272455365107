import { appendFileSync, copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from './agent/frames.ts';
import { artefactFile } from './artefact.ts';
import { dom0RootFileSystem, guestArm64, kernelArm64, xenArm64 } from './artefacts/index.ts';
import { CpioWriter } from './cpio.ts';
import { type ExecResult, mustSucceed, within } from './deadline.ts';
import { type ChannelListener, Dom0Channel, type OpenChannel } from './dom0-channel.ts';
import { Dom0Process } from './dom0-process.ts';
import { BoxError } from './errors.ts';
import { Machine, waitForSockets } from './machine.ts';
import { type Payload, writePayload } from './payload.ts';
import { boxStatus } from './status.ts';
import { type DomainOptions, domainConfig, XenDomain } from './xen-domain.ts';

/** How to boot the box. */
export interface XenBoxOptions {
  /** Part of the name of the run directory. */
  readonly name?: string;
  /** MiB of the whole machine; dom0 has `dom0Memory` of it, Xen needs about 128. */
  readonly memory?: number;
  /** MiB; default 1024. */
  readonly dom0Memory?: number;
  readonly dom0Vcpus?: number;
  /** Added to the hypervisor's command line. */
  readonly xenArgs?: string;
  /** Added to dom0's kernel command line. */
  readonly kernelArgs?: string;
  /** vhost-user socket of an I2C daemon on this machine: dom0 gets an adapter from it. */
  readonly i2cSocket?: string;
  /** Further arguments of QEMU; its guest memory is shareable, object `mem`. */
  readonly qemuArgs?: readonly string[];
  readonly payload?: Payload;
  readonly timeoutMs?: number;
}

/** Options of a command in dom0. */
export interface ExecOptions {
  /** Default 30 s; then the command and all that it started are killed. */
  readonly timeoutMs?: number;
  readonly env?: Record<string, string>;
  readonly stdin?: string | Uint8Array;
}

const FILE_TIMEOUT_MS = 60_000;
const WAIT_FOR_STATUS = 'until [ -e /run/box/status ]; do sleep 0.05; done; cat /run/box/status';

/**
 * A real Xen with dom0 in QEMU: an emulated arm64 machine. Commands in dom0 run through an agent
 * on a virtio-serial port, so that nothing mixes with the consoles.
 *
 * @example
 * const box = await XenBox.boot();
 * console.log(await box.sh('xl info'));
 * await box.stop();
 */
export class XenBox {
  readonly #machine: Machine;
  readonly #channel: Dom0Channel;
  readonly #domains: XenDomain[] = [];

  private constructor(machine: Machine, channel: Dom0Channel) {
    this.#machine = machine;
    this.#channel = channel;
  }

  /**
   * Boots Xen and dom0 and waits for xenstored, xenconsoled and the agent.
   *
   * @throws {BoxError} `MISSING_ARTEFACT` without `box:setup`; `TIMEOUT`, `MACHINE_EXITED` with the
   * ends of all logs
   */
  static async boot(options: XenBoxOptions = {}): Promise<XenBox> {
    const status = boxStatus();
    if (!status.ready)
      throw new BoxError('MISSING_ARTEFACT', `Cannot boot the box: ${status.reason}`);
    const { name = 'xen', timeoutMs = 90_000 } = options;
    const machine = new Machine(name);
    try {
      const initrd = buildInitrd(machine, options.payload ?? {});
      await waitForSockets(options.i2cSocket === undefined ? [] : [options.i2cSocket], machine);
      machine.start('qemu-system-aarch64', qemuArguments(machine, initrd, options));
      const up = async (): Promise<XenBox> => {
        const channel = await Dom0Channel.connect(join(machine.scratch, 'agent'), machine.gone);
        // QEMU copies its images before it opens the socket's guest side.
        const box = new XenBox(machine, channel);
        const said = (await box.sh(WAIT_FOR_STATUS, { timeoutMs })).trim();
        if (said !== 'up') throw machine.error('COMMAND_FAILED', `Cannot start dom0: ${said}`);
        rmSync(initrd);
        return box;
      };
      return await within(Promise.race([up(), machine.gone]), timeoutMs, () =>
        machine.error('TIMEOUT', `Cannot boot the box: dom0 is not up in ${timeoutMs} ms`),
      );
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /** Where this run's logs are. */
  get runDirectory(): string {
    return this.#machine.runDirectory;
  }

  /** Process id of QEMU. */
  get pid(): number | undefined {
    return this.#machine.pid;
  }

  /** Guests created so far, destroyed ones included. */
  get domains(): readonly XenDomain[] {
    return this.#domains;
  }

  /**
   * Runs a shell command in dom0; any number at the same time.
   *
   * @param command - for `sh -c`
   * @throws {BoxError} `TIMEOUT`; a non-zero exit code is the caller's to judge
   */
  async exec(command: string, options: ExecOptions = {}): Promise<ExecResult> {
    const { timeoutMs = 30_000, env = {}, stdin } = options;
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const channel = this.#channel.open(
      { kind: 'exec', command, env },
      { onData: (data) => stdout.push(data), onErrorData: (data) => stderr.push(data) },
    );
    if (stdin !== undefined) channel.write(Buffer.from(stdin as string));
    channel.end();
    const { code } = await within(channel.result, timeoutMs, () => {
      channel.signal('SIGKILL');
      const printed = Buffer.concat([...stdout, ...stderr]).toString();
      return this.error(
        'TIMEOUT',
        `Cannot run \`${command}\` in dom0: not finished in ${timeoutMs} ms\n${printed}`,
      );
    });
    return {
      code,
      stdout: Buffer.concat(stdout).toString(),
      stderr: Buffer.concat(stderr).toString(),
    };
  }

  /** Like {@link exec} for a command that has to succeed; returns its stdout. */
  async sh(command: string, options: ExecOptions = {}): Promise<string> {
    const result = await this.exec(command, options);
    return mustSucceed('dom0', command, result, (...args) => this.error(...args));
  }

  /**
   * Starts a background process in dom0. Its output goes to `<name>.log` of the run and is part
   * of every later failure's message.
   */
  spawn(name: string, command: string, env: Record<string, string> = {}): Dom0Process {
    const log = this.#machine.openLog(`${name}.log`);
    return new Dom0Process(this.#channel, name, `exec ${command}`, env, log);
  }

  /** Opens a command in dom0 as a pair of streams. */
  openChannel(
    command: string,
    listener: ChannelListener,
    env: Record<string, string> = {},
  ): OpenChannel {
    return this.#channel.open({ kind: 'exec', command, env }, listener);
  }

  /** Writes a file in dom0; directories are made. */
  async writeFile(path: string, data: string | Uint8Array, mode = 0o644): Promise<void> {
    const channel = this.#channel.open({ kind: 'put', path, mode }, {});
    channel.write(Buffer.from(data as string));
    channel.end();
    const { error } = await this.#soon(channel, `write ${path}`);
    if (error) throw new BoxError('COMMAND_FAILED', `Cannot write ${path} in dom0: ${error}`);
  }

  /** Copies a file of this machine to dom0. */
  async copyIn(source: string, path: string, mode = 0o644): Promise<void> {
    await this.writeFile(path, readFileSync(source), mode);
  }

  /** Reads a file of dom0. */
  async readFile(path: string): Promise<Buffer> {
    const data: Buffer[] = [];
    const listener = { onData: (part: Buffer) => data.push(part) };
    const channel = this.#channel.open({ kind: 'get', path }, listener);
    const { error } = await this.#soon(channel, `read ${path}`);
    if (error) throw new BoxError('COMMAND_FAILED', `Cannot read ${path} in dom0: ${error}`);
    return Buffer.concat(data);
  }

  /**
   * Creates a guest with `xl create`, which does not wait for `virtio` devices: without a running
   * xen-vhost-master the guest dies when it probes them.
   *
   * @throws {BoxError} `COMMAND_FAILED` with what xl printed, `TIMEOUT`
   */
  async createDomain(options: DomainOptions): Promise<XenDomain> {
    const { name, timeoutMs = 60_000 } = options;
    const path = `/root/${name}.cfg`;
    await this.writeFile(path, domainConfig(options));
    await this.sh(`xl create ${path}`, { timeoutMs });
    const domain = new XenDomain(this, name, this.#machine.openLog(`console-${name}.log`));
    this.#domains.push(domain);
    return domain;
  }

  async #soon(channel: OpenChannel, action: string): Promise<Result> {
    return await within(channel.result, FILE_TIMEOUT_MS, () =>
      this.error('TIMEOUT', `Cannot ${action} in dom0: not finished in ${FILE_TIMEOUT_MS} ms`),
    );
  }

  /** An error whose message ends with the tails of this run's logs. */
  error(code: BoxError['code'], message: string, cause?: unknown): BoxError {
    return this.#machine.error(code, message, cause);
  }

  /** Ends the machine at once; nothing in it is worth saving. */
  async stop(): Promise<void> {
    this.#channel.close();
    await this.#machine.stop();
  }
}

/** dom0's initramfs: user space, kernel modules, guests, code under test, one after the other. */
function buildInitrd(machine: Machine, payload: Payload): string {
  const extra = join(machine.scratch, 'payload.cpio');
  const archive = new CpioWriter(extra);
  archive.copy('boot/guest/Image', artefactFile(kernelArm64, 'Image'));
  archive.copy('boot/guest/initramfs.cpio.gz', artefactFile(guestArm64, 'initramfs.cpio.gz'));
  const absent = writePayload(archive, payload);
  archive.close();
  if (absent.length > 0) process.stderr.write(`box: without ${absent.join(', ')}: not built\n`);
  const initrd = join(machine.scratch, 'initrd');
  copyFileSync(artefactFile(dom0RootFileSystem, 'rootfs.cpio'), initrd);
  for (const path of [artefactFile(kernelArm64, 'modules.cpio'), extra]) {
    appendFileSync(initrd, readFileSync(path));
  }
  rmSync(extra);
  return initrd;
}

function qemuArguments(machine: Machine, initrd: string, options: XenBoxOptions): string[] {
  const { dom0Memory = 1024, dom0Vcpus = 1, xenArgs = '', kernelArgs = '' } = options;
  const { memory = dom0Memory + 1536, i2cSocket, qemuArgs = [] } = options;
  // Nobody moves between CPUs (guests are pinned in their configuration): interrupts that are on
  // their way while Xen moves a vCPU get lost in QEMU's interrupt controller, and dom0 then sleeps
  // for ever.
  // QEMU's memory is zeroed by the host; scrubbing it again costs seconds.
  const xenCommandLine = `dom0_mem=${dom0Memory}M dom0_max_vcpus=${dom0Vcpus} dom0_vcpus_pin bootscrub=0 loglvl=info guest_loglvl=info console=dtuart ${xenArgs}`;
  const dom0CommandLine = `console=hvc0 loglevel=5 ${kernelArgs}`.trim();
  return [
    ...['-machine', 'virt,virtualization=on,gic-version=2,memory-backend=mem'],
    ...['-object', `memory-backend-memfd,id=mem,size=${memory}M,share=on`],
    ...['-m', String(memory), '-cpu', 'cortex-a57', '-accel', 'tcg,thread=multi', '-smp', '2'],
    ...['-nic', 'none'],
    ...['-kernel', artefactFile(xenArm64, 'xen'), '-append', xenCommandLine.trim()],
    '-device',
    `guest-loader,addr=0x46000000,kernel=${artefactFile(kernelArm64, 'Image')},bootargs=${dom0CommandLine}`,
    ...['-device', `guest-loader,addr=0x50000000,initrd=${initrd}`],
    ...['-chardev', `socket,id=agent,path=${join(machine.scratch, 'agent')},server=on,wait=off`],
    ...['-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=agent,name=node-vmm'],
    ...(i2cSocket === undefined
      ? []
      : [
          '-chardev',
          `socket,id=i2c,path=${i2cSocket}`,
          '-device',
          'vhost-user-i2c-pci,chardev=i2c',
        ]),
    ...qemuArgs,
  ];
}
