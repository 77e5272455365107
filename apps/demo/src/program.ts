// What `npm start` runs: the main job, in real processes over real sockets and eventfds, with a
// simulated hypervisor in place of Xen.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import {
  Bridge,
  type DeviceDescription,
  FixedSockets,
  SpawnedBackends,
  VhostBridgeError,
} from '@node-vmm/vhost-bridge';
import { bridgeMetrics } from '@node-vmm/vhost-bridge/status';
import {
  EXIT_FAILURE,
  EXIT_OK,
  type Main,
  openMetrics,
  openStatusSocket,
} from '@node-vmm/vhost-device-cli';
import {
  packageVersion,
  parseCommandLine,
  parseMetricsAddress,
} from '@node-vmm/vhost-device-cli/options';
import { VIRTIO_ID_I2C_ADAPTER } from '@node-vmm/virtio-bindings';
import { hex, MainPoller } from '@node-vmm/vmm-sys-util';
import { Command } from 'commander';
import { NarratedLog } from './narrated-log.ts';
import { Narrator } from './narrator.ts';

const DEVICE: DeviceDescription = {
  key: '1/0',
  guest: 1,
  deviceId: VIRTIO_ID_I2C_ADAPTER,
  base: 0x0200_0000n,
  irq: 33,
};
/** A demo that stands still is a failure. */
const GIVE_UP_MS = 30_000;

function daemonProgram(): string {
  const manifest = import.meta.resolve('@node-vmm/vhost-device-i2c/package.json');
  return join(dirname(fileURLToPath(manifest)), 'dist', 'main.js');
}

function runGuest(vm: SimulatedVm): { guest: ChildProcess; status: Promise<number> } {
  const { machine, fds } = vm.guestResources([DEVICE]);
  const program = fileURLToPath(new URL('./guest.js', import.meta.url));
  const guest = spawn(process.execPath, [program, JSON.stringify(machine)], {
    stdio: ['ignore', 'inherit', 'inherit', ...fds],
    timeout: GIVE_UP_MS,
  });
  const status = once(guest, 'exit').then(([code]) => (code as number | null) ?? EXIT_FAILURE);
  return { guest, status };
}

interface DemoOptions {
  readonly verbose?: boolean;
  readonly stay?: boolean;
  readonly controlSocket?: string;
  readonly metrics?: string;
}

function createCommand(): Command {
  return new Command('demo')
    .description('An I2C adapter on a simulated machine, served by a daemon of its own.')
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version')
    .option('--verbose', 'show the log of the bridge')
    .option('--stay', 'leave the machine there when its guest is done, until Ctrl-C')
    .option('--control-socket <path>', 'answer "xen-vhost-master status" on this socket')
    .option(
      '--metrics <address>',
      'serve metrics to Prometheus: path of a socket, or\n[HOST:]PORT',
    );
}

/**
 * Waits for a device that comes up.
 *
 * @returns false when the end was asked for meanwhile
 * @throws {VhostBridgeError} when it takes too long; what `up` rejects with
 */
async function comesUp(up: Promise<void>, ended: Promise<unknown>): Promise<boolean> {
  const timeout = new AbortController();
  const late = delay(GIVE_UP_MS, 'late', { signal: timeout.signal });
  try {
    const first = await Promise.race([up, ended, late]);
    if (first === 'late') {
      throw new VhostBridgeError('SPAWN_FAILED', `Cannot start: no back-end in ${GIVE_UP_MS} ms`);
    }
    return first === undefined;
  } finally {
    timeout.abort();
    late.catch(() => undefined);
  }
}

/** What `npm start` does. */
export const main: Main = async (argv, program) => {
  const parsed = parseCommandLine<DemoOptions>(createCommand(), argv);
  if ('print' in parsed) return program.print(parsed.print);
  const { controlSocket, metrics, stay = false } = parsed.options;
  if (metrics !== undefined) parseMetricsAddress(metrics);
  const narrator = new Narrator('bridge');
  let bridge: Bridge | undefined;
  const verbose = parsed.options.verbose === true;
  let sockets: SpawnedBackends | undefined;
  const status = (): object => ({ ...bridge?.status(), backends: sockets?.status() ?? [] });
  const own = await program.start({ level: verbose ? 'debug' : 'warn' }, status);
  const logger = verbose ? own : new NarratedLog(narrator, program.signals);
  using poller = new MainPoller();
  const vm = SimulatedVm.create({ poller, logger });
  const [ram] = vm.memory.regions;
  narrator.say(
    `a simulated machine: ${(ram?.length ?? 0) >> 20} MiB of RAM in a memfd at ${hex(ram?.guestAddr ?? 0)}, an ioreq page, eventfds as event channels`,
  );
  const command = `${process.execPath} ${daemonProgram()} --simulate --log-level warn`;
  sockets = new SpawnedBackends(new Map([['i2c', command]]), new FixedSockets(new Map()), logger);
  bridge = new Bridge({
    attachVm: () => ({
      vm,
      memory: Promise.resolve(vm.memory),
      counters: () => ({
        ...vm.counters,
        ...vm.buses.memory.counters,
        interrupts: vm.interrupts,
      }),
      held: () => vm.held,
    }),
    sockets,
    poller,
    logger,
  });
  const served = bridge;
  try {
    using _control = await openStatusSocket({ asked: controlSocket }, status, logger);
    using _metrics = await openMetrics(metrics, () => bridgeMetrics(served.status()), logger);
    narrator.say('starting vhost-device-i2c --simulate and connecting to its vhost-user socket');
    if (!(await comesUp(bridge.add(DEVICE), program.signals.ended))) return EXIT_OK;
    narrator.say(
      `features negotiated, guest memory shared; virtio-mmio I2C adapter at ${hex(DEVICE.base)}, interrupt ${DEVICE.irq}`,
    );
    narrator.say('starting the guest, a process of its own');
    const { guest, status: ended } = runGuest(vm);
    void program.signals.ended.then(() => guest.kill('SIGKILL'));
    const exitCode = await ended;
    if (program.signals.ending) return EXIT_OK;
    const { memory: bus } = vm.buses;
    narrator.say(
      `served ${bus.counters.reads} register reads and ${bus.counters.writes} writes, ${bus.counters.ioeventfds} of them notifications that went to the daemon as eventfds`,
    );
    if (stay && exitCode === EXIT_OK) {
      narrator.say('the machine stays until Ctrl-C');
      await program.signals.ended;
    }
    return exitCode;
  } finally {
    await bridge.close();
    sockets.close();
    vm.close();
    narrator.say('everything is closed');
  }
};
