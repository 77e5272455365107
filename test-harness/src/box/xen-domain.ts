import type { WriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bed } from './bed.ts';
import { ConsoleAgent } from './console-agent.ts';
import { type ExecResult, mustSucceed, within } from './deadline.ts';
import type { OpenChannel } from './dom0-channel.ts';
import { BoxError } from './errors.ts';
import { announce, type DeviceType } from './guest-devices.ts';
import type { XenBox } from './xen-box.ts';
import { type Firmware, MACHINES } from './xen-machines/index.ts';

/** A guest to create. */
export interface DomainOptions {
  /** Unique in the box; letters, digits, `-`. */
  readonly name: string;
  /** MiB; default 128, with hvmloader 256. */
  readonly memory?: number;
  readonly vcpus?: number;
  /** Default `shim`; `hvmloader` needs `deviceModel` of `XenBox.boot`. */
  readonly firmware?: Firmware;
  /** Virtio devices, announced in the way of the bed. */
  readonly devices?: readonly DeviceType[];
  /** Added to the guest's kernel command line. */
  readonly kernelArgs?: string;
  /** Further lines of the configuration file. */
  readonly extraConfig?: readonly string[];
  /** How long `xl create` may take. */
  readonly timeoutMs?: number;
}

/**
 * How long a guest with hvmloader may take to come up: QEMU before version 10 lets it fetch its kernel
 * through an I/O port, an emulated access for every few bytes.
 */
export const HVMLOADER_UP_MS = 300_000;
const REATTACH_MS = 200;
/** Attempts to find the console of a rebooting guest before it counts as gone. */
const MAX_REATTACH = 50;

/**
 * Text of xl's configuration file, and the shell command that dom0 runs before.
 *
 * @param cpu - CPU that guests run on
 */
export function domainConfig(
  bed: Bed,
  cpu: number,
  options: DomainOptions,
): { readonly text: string; readonly prepare: string } {
  const { name, firmware = 'shim', vcpus = 1, devices = [], extraConfig = [] } = options;
  const { memory = firmware === 'hvmloader' ? 256 : 128 } = options;
  const announced = announce(bed, devices);
  const machine = MACHINES[bed.architecture];
  const kernelArgs = [announced.kernelArgs, options.kernelArgs ?? ''].filter(Boolean).join(' ');
  const guest = { name, memory, vcpus, cpu, kernelArgs, firmware };
  const lines = [
    ...machine.guestConfig(guest),
    ...announced.config,
    'on_crash = "destroy"',
    ...extraConfig,
  ];
  const prepare = [machine.guestPrepare(guest), announced.prepare].filter(Boolean).join('; ');
  return { text: `${lines.join('\n')}\n`, prepare };
}

/** A guest of the Xen box. Its console is in `console-<name>.log` of the run. */
export class XenDomain {
  readonly name: string;
  readonly #box: XenBox;
  readonly #log: WriteStream;
  readonly #agent: ConsoleAgent;
  #console: OpenChannel | undefined;
  #destroyed = false;
  #up = false;

  /** Use {@link XenBox.createDomain}. */
  constructor(box: XenBox, name: string, log: WriteStream) {
    this.#box = box;
    this.name = name;
    this.#log = log;
    this.#agent = new ConsoleAgent({
      write: (text) => this.#console?.write(Buffer.from(text)),
    });
    void this.#keepConsole();
  }

  /** Present domain id; it changes when the guest reboots. */
  async id(): Promise<number> {
    return Number(await this.#box.sh(`xl domid ${this.name}`));
  }

  /**
   * Waits until the guest's user space answers.
   *
   * @throws {BoxError} `TIMEOUT` with the end of the guest's console
   */
  async waitUp(timeoutMs = 60_000): Promise<void> {
    await this.#guarded(this.#agent.waitUp(), timeoutMs, 'does not come up');
    this.#up = true;
  }

  /**
   * Runs a shell command in the guest, one at a time; waits for its user space.
   *
   * @param command - for `sh -c`
   * @param options - `timeoutMs`: after that the command is killed; default 30 s
   * @throws {BoxError} `TIMEOUT`; a non-zero exit code is the caller's to judge
   */
  async exec(command: string, options: { timeoutMs?: number } = {}): Promise<ExecResult> {
    const { timeoutMs = 30_000 } = options;
    if (!this.#up) await this.waitUp();
    const work = this.#agent.exec(command, timeoutMs);
    return await this.#guarded(work, timeoutMs + 30_000, `does not finish \`${command}\``);
  }

  /** Like {@link exec} for a command that has to succeed; returns its stdout. */
  async sh(command: string, options: { timeoutMs?: number } = {}): Promise<string> {
    const result = await this.exec(command, options);
    return mustSucceed(this.name, command, result, (...args) => this.#box.error(...args));
  }

  /** `xl reboot`'s effect from inside: the domain gets a new id. */
  async reboot(timeoutMs = 60_000): Promise<void> {
    const before = await this.id();
    this.#console?.write(Buffer.from(`X 0 10 ${Buffer.from('reboot -f').toString('base64')}\n`));
    const changed = async (): Promise<void> => {
      for (;;) {
        const { stdout, code } = await this.#box.exec(`xl domid ${this.name}`);
        if (code === 0 && Number(stdout) !== before) return;
        await sleep(REATTACH_MS);
      }
    };
    await this.#guarded(changed(), timeoutMs, 'does not reboot');
    await this.waitUp(timeoutMs);
  }

  /** `xl destroy`. */
  async destroy(): Promise<void> {
    this.#destroyed = true;
    await this.#box.sh(`xl destroy ${this.name}`);
    const cleanUp = MACHINES[this.#box.bed.architecture].guestCleanUp(this.name);
    if (cleanUp !== '') await this.#box.sh(cleanUp);
    this.#agent.end(new BoxError('DOMAIN_GONE', `Cannot use ${this.name}: it was destroyed`));
  }

  async #guarded<T>(work: Promise<T>, timeoutMs: number, state: string): Promise<T> {
    try {
      return await within(work, timeoutMs, () => {
        const error = this.#box.error(
          'TIMEOUT',
          `Cannot use ${this.name}: ${state} in ${timeoutMs} ms`,
        );
        this.#agent.fail(error);
        return error;
      });
    } catch (error) {
      if (BoxError.is(error)) throw error;
      throw this.#box.error('PROTOCOL', `Cannot use ${this.name}`, error);
    }
  }

  /** Attaches to the console, and again after each reboot. */
  async #keepConsole(): Promise<void> {
    const onData = (data: Buffer): void => {
      this.#log.write(data);
      this.#agent.receive(data);
    };
    try {
      for (let failures = 0; !this.#destroyed && failures < MAX_REATTACH; failures += 1) {
        this.#console = this.#box.openChannel(
          `exec xenconsole --type pv --interactive "$(xl domid ${this.name})"`,
          {
            onData: (data) => {
              failures = 0;
              onData(data);
            },
            onErrorData: (data) => this.#log.write(data),
          },
        );
        await this.#console.result;
        this.#up = false;
        if (!this.#destroyed) await sleep(REATTACH_MS);
      }
      this.#agent.end(
        new BoxError('DOMAIN_GONE', `Cannot use ${this.name}: there is no such guest`),
      );
    } catch (error) {
      this.#agent.end(error as Error);
    } finally {
      this.#log.end();
    }
  }
}
