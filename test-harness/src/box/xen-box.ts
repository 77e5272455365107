import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from './agent/frames.ts';
import { artefactsOf, type Bed } from './bed.ts';
import { markUsed } from './cache.ts';
import { type ExecResult, mustSucceed, within } from './deadline.ts';
import { type ChannelListener, Dom0Channel, type OpenChannel } from './dom0-channel.ts';
import { deviceModelOf, writeInitrd } from './dom0-initrd.ts';
import { Dom0Process } from './dom0-process.ts';
import { BoxError } from './errors.ts';
import { Machine, waitForSockets } from './machine.ts';
import type { Payload } from './payload.ts';
import { findBed } from './status.ts';
import { type DomainOptions, domainConfig, XenDomain } from './xen-domain.ts';
import { type BootOptions, MACHINES, type XenMachine } from './xen-machines/index.ts';

/** How to boot the box. */
export interface XenBoxOptions {
  /** Name of the bed; default: the newest there is. */
  readonly bed?: string;
  /** Part of the name of the run directory. */
  readonly name?: string;
  /** MiB of the whole machine; dom0 has `dom0Memory` of it, Xen needs about 128. */
  readonly memory?: number;
  /** MiB; default 1024, with a device model 1536. */
  readonly dom0Memory?: number;
  /** Default: as many as the emulated interrupt controller bears. */
  readonly dom0Vcpus?: number;
  /** How dom0's kernel preempts; default `full`, as real ones do. */
  readonly preempt?: 'full' | 'none';
  /** Added to the hypervisor's command line. */
  readonly xenArgs?: string;
  /** Added to dom0's kernel command line. */
  readonly kernelArgs?: string;
  /** vhost-user socket of an I2C daemon on this machine: dom0 gets an adapter from it. */
  readonly i2cSocket?: string;
  /** Further arguments of QEMU; its guest memory is shareable, object `mem`. */
  readonly qemuArgs?: readonly string[];
  readonly payload?: Payload;
  /** True for guests with hvmloader: dom0 gets QEMU; only on beds with that feature. */
  readonly deviceModel?: boolean;
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
 * A real Xen with dom0 in QEMU, on one of the beds. Commands in dom0 run through an agent on a
 * virtio-serial port, so that nothing mixes with the consoles.
 *
 * @example
 * const box = await XenBox.boot();
 * console.log(await box.sh('xl info'));
 * await box.stop();
 */
export class XenBox {
  readonly bed: Bed;
  readonly #machine: Machine;
  readonly #channel: Dom0Channel;
  readonly #domains: XenDomain[] = [];
  /** CPU that guests run on. */
  readonly #guestCpu: number;
  readonly #hasDeviceModel: boolean;

  private constructor(
    bed: Bed,
    machine: Machine,
    channel: Dom0Channel,
    { dom0Vcpus, hasDeviceModel }: { dom0Vcpus: number; hasDeviceModel: boolean },
  ) {
    this.bed = bed;
    this.#machine = machine;
    this.#channel = channel;
    this.#guestCpu = dom0Vcpus;
    this.#hasDeviceModel = hasDeviceModel;
  }

  /**
   * Boots Xen and dom0 and waits for xenstored, xenconsoled and the agent.
   *
   * @throws {BoxError} `MISSING_ARTEFACT` without `box:setup`; `BAD_OPTION` for a device model that
   * the bed has not; `TIMEOUT`, `MACHINE_EXITED` with the ends of all logs
   */
  static async boot(options: XenBoxOptions = {}): Promise<XenBox> {
    const bed = findBed(options.bed);
    const { name = 'xen', timeoutMs = 120_000 } = options;
    const xenMachine = MACHINES[bed.architecture];
    const deviceModel = options.deviceModel ? deviceModelOf(bed) : undefined;
    const boot = bootOptions(xenMachine, options);
    const machine = new Machine(`${bed.name}-${name}`);
    try {
      for (const artefact of artefactsOf(bed)) markUsed(artefact);
      if (deviceModel !== undefined) markUsed(deviceModel);
      const initrd = writeInitrd(machine.scratch, bed, options.payload ?? {}, deviceModel);
      await waitForSockets(options.i2cSocket === undefined ? [] : [options.i2cSocket], machine);
      const files = { bed, initrd, scratch: machine.scratch };
      machine.start(xenMachine.program, [
        ...xenMachine.qemuArguments(files, boot),
        ...commonArguments(machine, xenMachine.deviceOptions(bed), boot),
        ...(options.qemuArgs ?? []),
      ]);
      const up = async (): Promise<XenBox> => {
        const channel = await Dom0Channel.connect(join(machine.scratch, 'agent'), machine.gone);
        // QEMU copies its images before it opens the socket's guest side.
        const box = new XenBox(bed, machine, channel, {
          dom0Vcpus: boot.dom0Vcpus,
          hasDeviceModel: deviceModel !== undefined,
        });
        const said = (await box.sh(WAIT_FOR_STATUS, { timeoutMs })).trim();
        if (said !== 'up') throw machine.error('COMMAND_FAILED', `Cannot start dom0: ${said}`);
        rmSync(initrd);
        return box;
      };
      return await within(Promise.race([up(), machine.gone]), timeoutMs, () =>
        machine.error('TIMEOUT', `Cannot boot ${bed.name}: dom0 is not up in ${timeoutMs} ms`),
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
    const { text, prepare } = this.domainConfig(options);
    await this.writeFile(path, text);
    if (prepare !== '') await this.sh(prepare, { timeoutMs });
    await this.sh(`xl create ${path}`, { timeoutMs });
    const domain = new XenDomain(this, name, this.#machine.openLog(`console-${name}.log`));
    this.#domains.push(domain);
    return domain;
  }

  /** Text of xl's configuration file for a guest, and what dom0 runs before it can be created. */
  domainConfig(options: DomainOptions): { readonly text: string; readonly prepare: string } {
    if (options.firmware === 'hvmloader' && !this.#hasDeviceModel) {
      throw new BoxError(
        'BAD_OPTION',
        `Cannot create ${options.name} with hvmloader: the box was booted without deviceModel`,
      );
    }
    return domainConfig(this.bed, this.#guestCpu, options);
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

function bootOptions(xenMachine: XenMachine, options: XenBoxOptions): BootOptions {
  const { preempt = 'full', xenArgs = '', kernelArgs = '' } = options;
  const { dom0Memory = options.deviceModel ? 1536 : 1024 } = options;
  return {
    memory: options.memory ?? dom0Memory + 1536,
    dom0Memory,
    dom0Vcpus: options.dom0Vcpus ?? xenMachine.dom0Vcpus,
    xenArgs,
    kernelArgs: `preempt=${preempt} ${kernelArgs}`.trim(),
    i2cSocket: options.i2cSocket,
  };
}

/** What all machines have: shareable memory, the agent's port, an I2C adapter where one is served. */
function commonArguments(
  machine: Machine,
  deviceOptions: string,
  { memory, i2cSocket }: BootOptions,
): string[] {
  const device = (text: string): string[] => [
    '-device',
    deviceOptions === '' ? text : `${text},${deviceOptions}`,
  ];
  return [
    ...['-object', `memory-backend-memfd,id=mem,size=${memory}M,share=on`],
    ...['-chardev', `socket,id=agent,path=${join(machine.scratch, 'agent')},server=on,wait=off`],
    ...device('virtio-serial-pci'),
    ...['-device', 'virtserialport,chardev=agent,name=node-vmm'],
    ...(i2cSocket === undefined
      ? []
      : [
          ...['-chardev', `socket,id=i2c,path=${i2cSocket}`],
          ...device('vhost-user-i2c-pci,chardev=i2c'),
        ]),
  ];
}
