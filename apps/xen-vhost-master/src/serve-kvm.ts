import { readFileSync } from 'node:fs';
import { Kvm } from '@node-vmm/kvm-sys';
import {
  BARE_METAL,
  DebugConsole,
  ExitPort,
  KvmMachine,
  loadBareMetal,
  type MachineEnd,
  PC_LAYOUT,
} from '@node-vmm/kvm-vm';
import {
  Bridge,
  type DeviceDescription,
  FixedSockets,
  SpawnedBackends,
} from '@node-vmm/vhost-bridge';
import { bridgeMetrics } from '@node-vmm/vhost-bridge/status';
import {
  EXIT_FAILURE,
  EXIT_OK,
  openMetrics,
  openStatusSocket,
  type Program,
} from '@node-vmm/vhost-device-cli';
import { errorMessage, hex, MainPoller } from '@node-vmm/vmm-sys-util';
import { usualControlPath } from './control-path.ts';
import { BridgeError } from './errors.ts';
import { GuestLines } from './guest-lines.ts';
import type { KvmArguments } from './kvm-args.ts';
import { type PlacedKvmDevice, placeKvmDevices } from './kvm-device.ts';
import { openDispatchPool } from './open-dispatch-pool.ts';

const STDOUT = 1;
/** The only guest of this process. */
const GUEST = 1;

function readImage(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    const text = `Cannot read the guest's image: ${errorMessage(cause)}`;
    throw new BridgeError('BAD_IMAGE', text, { path }, { cause });
  }
}

/** What is started for each type whose devices want that. */
function commands({ devices, spawn }: KvmArguments): Map<string, string> {
  const wanted = devices.filter(({ socket }) => socket === undefined);
  return new Map(
    wanted.map(({ type: { name } }) => [name, spawn.get(name) ?? `vhost-device-${name}`]),
  );
}

function describe({ type, base, irq, socket }: PlacedKvmDevice): DeviceDescription {
  const key = `kvm/${GUEST}/${hex(base)}`;
  const site = { key, guest: GUEST, deviceId: type.deviceId, base, irq };
  return socket === undefined ? site : { ...site, socket };
}

/**
 * Claims the devices' windows; the guest's accesses wait until the back-ends are there.
 *
 * @returns `failure` rejects when a device cannot be served, and does not end before
 * @throws as `failure`, when that is known at once
 */
async function placeAll(
  bridge: Bridge,
  devices: readonly DeviceDescription[],
): Promise<{ readonly failure: Promise<never> }> {
  let fail: (reason: unknown) => void = () => undefined;
  const failure = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  // Nobody may be there to hear of it any more.
  failure.catch(() => undefined);
  const place = (device: DeviceDescription): Promise<void> =>
    new Promise((resolve) => {
      bridge.add(device, resolve).catch(fail);
    });
  await Promise.race([Promise.all(devices.map(place)), failure]);
  return { failure };
}

/** @returns the exit code */
function told(end: MachineEnd, program: Program): number {
  if (end.kind === 'failed') program.complain(end.error.message);
  else if (end.kind === 'guest' && end.code !== 0) {
    program.complain(`the guest has ended with code ${end.code}`);
  } else return EXIT_OK;
  return EXIT_FAILURE;
}

/**
 * Runs a guest until it ends or a signal asks for the end.
 *
 * @returns the exit code
 */
export async function serveKvm(run: KvmArguments, program: Program): Promise<number> {
  const placed = placeKvmDevices(run.devices, BigInt(PC_LAYOUT.DEVICES));
  const image = readImage(run.image);
  using kvm = Kvm.open();
  let bridge: Bridge | undefined;
  let sockets: SpawnedBackends | undefined;
  const status = (): object => ({
    ...(bridge?.status() ?? { guests: [], devices: [] }),
    backends: sockets?.status() ?? [],
  });
  const logger = await program.start({ level: run.logLevel }, status);
  using poller = new MainPoller();
  await using host = await openDispatchPool(run, { poller, logger });
  const { memory, vcpus, notification, hugePageSize } = run;
  const machine = KvmMachine.create(
    { kvm, poller, logger, host },
    { memory, vcpus, notification, ...(hugePageSize === undefined ? {} : { hugePageSize }) },
  );
  try {
    sockets = new SpawnedBackends(commands(run), new FixedSockets(new Map()), logger);
    const place = { asked: run.controlSocket, usual: usualControlPath() };
    using _control = await openStatusSocket(place, status, logger);
    const measured = () => (bridge === undefined ? [] : bridgeMetrics(bridge.status()));
    using _metrics = await openMetrics(run.metrics, measured, logger);
    const lines = new GuestLines(
      (text) => program.say(text, STDOUT),
      () => performance.now(),
    );
    const log = new DebugConsole((line) => lines.say(line));
    const exit = new ExitPort((code) => machine.exit(code));
    machine.map({ space: 'port', base: BigInt(BARE_METAL.CONSOLE_PORT), length: 1 }, log);
    machine.map({ space: 'port', base: BigInt(BARE_METAL.EXIT_PORT), length: 4 }, exit);
    const entry = loadBareMetal(machine.memory, machine.banks, {
      image,
      commandLine: run.append,
      devices: placed,
    });
    bridge = new Bridge({
      attachVm: () => ({
        vm: machine,
        memory: Promise.resolve(machine.memory),
        counters: () => ({ ...machine.counters, ...machine.memoryBus }),
      }),
      sockets,
      poller,
      logger,
    });
    const { failure } = await placeAll(bridge, placed.map(describe));
    machine.start(entry);
    logger.info({ vm: machine.name, vcpus, devices: placed.length }, 'guest started');
    const reason = await Promise.race([program.signals.ended, machine.ended, failure]);
    log.flush();
    lines.tellDropped();
    if (typeof reason !== 'string') return told(reason, program);
    logger.info({ signal: reason }, 'ending');
    return EXIT_OK;
  } finally {
    await bridge?.close();
    sockets?.close();
    machine.close();
    await machine.closed;
  }
}
