import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { AccessHost } from '@node-vmm/ioreq-eventfd';
import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import type { MainPoller } from '@node-vmm/vmm-sys-util';
import type { DeviceDescription } from '../../src/device-source.ts';

const GUEST = fileURLToPath(new URL('guest-program.mjs', import.meta.url));
const SHUFFLE_GUEST = fileURLToPath(new URL('shuffle-guest.mjs', import.meta.url));
const SHUFFLE_DAEMON = fileURLToPath(new URL('shuffle-daemon.mjs', import.meta.url));
const require = createRequire(import.meta.url);
const MANIFEST = require.resolve('@node-vmm/vhost-device-i2c/package.json');
const DAEMON = join(dirname(MANIFEST), 'dist/main.js');
const FRAMEWORK = join(
  dirname(require.resolve('@node-vmm/vhost-user-backend/package.json')),
  'dist/index.js',
);

/** An I2C adapter of guest 1, or of another. */
export function i2cDevice(devid = 0, guest = 1): DeviceDescription {
  const base = 0x200_0000n + BigInt(devid) * 0x200n;
  return { key: `${guest}/${devid}`, guest, deviceId: 34, base, irq: 33 + devid };
}

/** A device of another type, served by `shuffleDaemon`. */
export function shuffleDevice(deviceId: number): DeviceDescription {
  return { ...i2cDevice(), deviceId };
}

/** A guest's vCPU in a process of its own. */
export class GuestProcess {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(vm: SimulatedVm, device: DeviceDescription, program: string = GUEST) {
    const { machine, fds } = vm.guestResources([device]);
    this.#child = spawn(process.execPath, [program, JSON.stringify(machine)], {
      stdio: ['pipe', 'pipe', 'inherit', ...fds],
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no output');
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  /** Gives the guest something to do; ends when it is done. One at a time. */
  async ask(...command: readonly [string, number?, number?]): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error('the guest has ended');
    return JSON.parse(value);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
  }
}

/** `vhost-device-i2c --simulate`, built, in a process of its own. */
export class Daemon {
  readonly #args: string[];
  #child: ChildProcess | undefined;

  /**
   * @param path - of its socket
   * @param args - of another program than that of the I2C device
   */
  constructor(path: string, args?: string[]) {
    this.#args = args ?? [
      DAEMON,
      '--socket-path',
      path,
      '--simulate',
      '24c02@0x50',
      '--log-level',
      'warn',
    ];
  }

  start(): void {
    this.#child = spawn(process.execPath, this.#args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  /** Ends it as the kernel does when memory is short. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }
}

/** A guest that keeps many requests under way. */
export function shuffleGuest(vm: SimulatedVm, device: DeviceDescription): GuestProcess {
  return new GuestProcess(vm, device, SHUFFLE_GUEST);
}

/** A device that returns requests in any order. @param losesState - it does not offer INFLIGHT_SHMFD */
export function shuffleDaemon(path: string, losesState = false): Daemon {
  return new Daemon(path, [SHUFFLE_DAEMON, FRAMEWORK, path, String(losesState)]);
}

/** Who serves the accesses of `Machines` that are made from now on; default: the main thread. */
export const serving: { host?: AccessHost } = {};

/** Simulated machines by guest; the bridge attaches to them. */
export class Machines {
  readonly vms = new Map<number, SimulatedVm>();
  readonly #poller: MainPoller;

  constructor(poller: MainPoller) {
    this.#poller = poller;
  }

  get(guest: number): SimulatedVm {
    const known = this.vms.get(guest);
    if (known !== undefined) return known;
    const vm = SimulatedVm.create({ poller: this.#poller, ...serving }, { answerLimit: 60_000 });
    this.vms.set(guest, vm);
    return vm;
  }

  close(): void {
    for (const vm of this.vms.values()) vm.close();
    this.vms.clear();
  }
}
