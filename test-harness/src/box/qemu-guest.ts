import { appendFileSync, copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { artefactFile } from './artefact.ts';
import { GUESTS, KERNELS } from './artefacts/index.ts';
import { ConsoleAgent } from './console-agent.ts';
import { type ExecResult, mustSucceed, within } from './deadline.ts';
import { BoxError } from './errors.ts';
import { Machine, waitForSockets } from './machine.ts';
import { type QemuKind, qemuProgram, qemuStatus } from './status.ts';

/** A `vhost-user-<kind>-pci` of a guest. */
export interface QemuVhostUser {
  readonly kind: string;
  /** Socket of its daemon. */
  readonly socket: string;
  /** True where QEMU listens on that socket, and waits for the daemon to connect; default false. */
  readonly listens?: boolean;
}

/** How to boot a guest of plain QEMU. */
export interface QemuGuestOptions {
  /** Part of the name of the run directory. */
  readonly name?: string;
  /** MiB; default 256. Its memory is a shared memfd, as vhost-user needs it. */
  readonly memory?: number;
  readonly cpus?: number;
  readonly vhostUser?: readonly QemuVhostUser[];
  /** Added to the kernel command line. */
  readonly kernelArgs?: string;
  /** Further arguments of QEMU. */
  readonly qemuArgs?: readonly string[];
  /** Further cpio archives for the initramfs. */
  readonly archives?: readonly string[];
  /** Which QEMU; default `installed`. */
  readonly qemu?: QemuKind;
  readonly timeoutMs?: number;
}

/**
 * An x86_64 Linux guest in QEMU without hardware virtualisation; commands run through its serial
 * console.
 *
 * @example
 * const guest = await QemuGuest.boot({ vhostUser: [{ kind: 'i2c', socket: '/tmp/i2c.sock0' }] });
 * console.log(await guest.sh('i2cdetect -y 0'));
 * await guest.stop();
 */
export class QemuGuest {
  readonly #machine: Machine;
  readonly #agent: ConsoleAgent;

  private constructor(machine: Machine) {
    this.#machine = machine;
    this.#agent = new ConsoleAgent({ write: (text) => machine.writeConsole(text) });
    machine.onConsole((data) => this.#agent.receive(data));
  }

  /**
   * Boots the guest and waits for its user space.
   *
   * @throws {BoxError} `MISSING_ARTEFACT` without `box:setup`; `TIMEOUT`, `MACHINE_EXITED` with the
   * ends of all logs
   */
  static async boot(options: QemuGuestOptions = {}): Promise<QemuGuest> {
    const { name = 'qemu', qemu = 'installed', timeoutMs = 60_000 } = options;
    const status = qemuStatus(qemu);
    if (!status.ready)
      throw new BoxError('MISSING_ARTEFACT', `Cannot boot a guest: ${status.reason}`);
    const machine = new Machine(name);
    const guest = new QemuGuest(machine);
    try {
      await waitForSockets(
        (options.vhostUser ?? []).filter(({ listens }) => !listens).map(({ socket }) => socket),
        machine,
      );
      machine.start(qemuProgram(qemu), qemuArguments(machine, options), 'reset');
      await within(Promise.race([guest.#agent.waitUp(), machine.gone]), timeoutMs, () =>
        machine.error('TIMEOUT', `Cannot boot the guest: it is not up in ${timeoutMs} ms`),
      );
      return guest;
    } catch (error) {
      await guest.stop();
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

  /**
   * Runs a shell command in the guest, one at a time.
   *
   * @param command - for `sh -c`
   * @param options - `timeoutMs`: after that the command is killed; default 30 s
   * @throws {BoxError} `TIMEOUT`, `MACHINE_EXITED`; a non-zero exit code is the caller's to judge
   */
  async exec(command: string, options: { timeoutMs?: number } = {}): Promise<ExecResult> {
    const { timeoutMs = 30_000 } = options;
    const work = Promise.race([this.#agent.exec(command, timeoutMs), this.#machine.gone]);
    return await within(work, timeoutMs + 30_000, () =>
      this.#machine.error('TIMEOUT', `Cannot run \`${command}\` in the guest: no answer`),
    );
  }

  /** Like {@link exec} for a command that has to succeed; returns its stdout. */
  async sh(command: string, options: { timeoutMs?: number } = {}): Promise<string> {
    const result = await this.exec(command, options);
    return mustSucceed('the guest', command, result, (...args) => this.#machine.error(...args));
  }

  /**
   * Reboots the guest at once, without its user space, and waits until it is up again.
   *
   * @throws {BoxError} `TIMEOUT`, `MACHINE_EXITED`
   */
  async reboot(timeoutMs = 60_000): Promise<void> {
    // The agent reads nothing behind this command: who answers next is that of the rebooted guest.
    this.#machine.writeConsole(`X 0 10 ${Buffer.from('reboot -f').toString('base64')}\n`);
    const up = Promise.race([this.#agent.waitUp(), this.#machine.gone]);
    await within(up, timeoutMs, () =>
      this.#machine.error('TIMEOUT', `Cannot reboot the guest: it is not up in ${timeoutMs} ms`),
    );
  }

  /** Ends the machine at once. */
  async stop(): Promise<void> {
    this.#agent.end(new BoxError('MACHINE_EXITED', 'Cannot use the guest: it was stopped'));
    await this.#machine.stop();
  }
}

function qemuArguments(machine: Machine, options: QemuGuestOptions): string[] {
  const { memory = 256, cpus = 1, vhostUser = [], kernelArgs = '' } = options;
  const { qemuArgs = [], archives = [] } = options;
  const initrd = join(machine.scratch, 'initrd');
  copyFileSync(artefactFile(GUESTS.x86_64, 'initramfs.cpio.gz'), initrd);
  for (const path of [artefactFile(KERNELS.x86_64, 'modules.cpio'), ...archives]) {
    // The kernel looks for the next archive at multiples of four.
    const { length } = readFileSync(initrd);
    appendFileSync(initrd, Buffer.alloc(-length & 3));
    appendFileSync(initrd, readFileSync(path));
  }
  return [
    ...['-M', 'q35,memory-backend=mem', '-cpu', 'max', '-accel', 'tcg,thread=multi'],
    ...['-object', `memory-backend-memfd,id=mem,size=${memory}M,share=on`],
    ...['-m', String(memory), '-smp', String(cpus), '-nic', 'none', '-nodefaults'],
    ...['-kernel', artefactFile(KERNELS.x86_64, 'Image'), '-initrd', initrd],
    // A busy machine emulates the timer too late for Linux's check of it, which would be a panic.
    ...['-append', `console=ttyS0 loglevel=5 no_timer_check ${kernelArgs}`.trim()],
    ...vhostUser.flatMap(({ kind, socket, listens }, index) => [
      ...['-chardev', `socket,id=vu${index},path=${socket}${listens ? ',server=on' : ''}`],
      ...['-device', `vhost-user-${kind}-pci,chardev=vu${index}`],
    ]),
    ...qemuArgs,
  ];
}
