import { existsSync } from 'node:fs';
import type { ServingSide } from '@node-vmm/vhost-supervisor/serving-side';
import type { MapForeign, ServedDevice, VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { StatusReport } from './control/commands.ts';
import type { DaemonControl } from './control/open-daemon.ts';
import type { ServingOptions, SocketOptions } from './daemon-options.ts';
import { EXIT_FAILURE, EXIT_OK } from './exit-codes.ts';
import { FatalFailure } from './fatal-failure.ts';
import type { Program } from './program.ts';
import type { ServiceManager } from './service-manager.ts';
import type { SocketPlace } from './sockets.ts';

/** How long SIGUSR1 waits for a device that does not answer, milliseconds. */
const STATUS_MS = 1000;

/** Where Linux has Xen's privcmd (xenfs had it elsewhere before 2012). */
const PRIVCMD_PATH = '/dev/xen/privcmd';

/** One device of a daemon that serves several. */
export interface DaemonDevice {
  /** For logs, messages and status; of its own in the daemon. */
  readonly name: string;
  /** Module that exports `createDevice`: `deviceModule('./device.js', import.meta.url)`. */
  readonly module: URL;
  /** For `createDevice`; cloneable, and shown in the first log line. */
  readonly options: object;
  /** Where it listens, exactly; default the next of the sockets that the daemon's options say. */
  readonly socketPath?: string;
  /** Most threads that serve its queues; default as the daemon's options say. */
  readonly queueWorkers?: number;
  /** Queues that it has: what open files are reckoned by at the start; default 2. */
  readonly queueCount?: number;
}

/** A daemon that serves devices of any kinds. */
export interface DevicesSpec {
  readonly options: ServingOptions & Partial<SocketOptions>;
  readonly devices: readonly DaemonDevice[];
  /** As `threadModule` of `VhostUserDaemonOptions`: for a program that is bundled. */
  readonly threadModule?: URL;
}

/** A device, and where it is served. */
export interface PlacedDevice extends Omit<DaemonDevice, 'socketPath'> {
  readonly place: SocketPlace;
}

/**
 * Serves devices until a signal asks for the end, no device is left (each that fails ends alone, unless
 * the options say otherwise), or the front-end of each has gone, where they were passed connected.
 *
 * @returns the exit code
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET; SOCKET_COUNT when there are not as many
 * sockets as devices; OPEN_FILES when the process may not have as many as that can take
 * @throws {DescriptorError} when a socket that was passed is none
 */
export async function runDevices(program: Program, spec: DevicesSpec): Promise<number> {
  const { placeDevices } = await import('./place-devices.ts');
  const placed = placeDevices(spec);
  (await import('./state-files.ts')).checkStateDirectory(spec.options);
  return servePlaced(program, spec.options, placed, spec.threadModule);
}

/** Serves devices whose places have been found: see {@link runDevices}. */
export async function servePlaced(
  program: Program,
  options: ServingOptions & Partial<SocketOptions>,
  devices: readonly PlacedDevice[],
  threadModule?: URL,
): Promise<number> {
  // Here and not above: who asks for a version needs none of it.
  const { openServiceManager } = await import('./open-service-manager.ts');
  const { shownOptions } = await import('./shown-options.ts');
  const { checkOpenFiles } = await import('./open-files.ts');
  checkOpenFiles({
    queues: devices.map(({ queueCount }) => queueCount),
    workers: options.workers,
    control: options.controlSocket !== undefined,
  });
  let daemon: VhostUserDaemon | undefined;
  const status: StatusReport = async () => ({
    devices: (await daemon?.status({ timeoutMs: STATUS_MS })) ?? [],
  });
  const logger = await program.start({ level: options.logLevel }, status);
  const shown = shownOptions(devices.map((device) => device.options));
  const passed = options.passedSockets?.map(({ name }) => name);
  const sockets = { sockets: devices.length, ...(passed === undefined ? {} : { passed }) };
  logger.info({ ...sockets, ...shown }, 'starting');
  const backend = await import('@node-vmm/vhost-user-backend');
  const mapForeign = await foreignMapping(options);
  const manager = await openServiceManager(logger);
  const state = (): string => `${daemon?.serving ?? 0} of ${devices.length} devices served`;
  const failure = new FatalFailure(options.exitOnFailure === true, () => daemon?.serving ?? 0);
  daemon = new backend.VhostUserDaemon({
    logger,
    workers: options.workers,
    ...(mapForeign === undefined ? {} : { mapForeign }),
    ...(options.foreignLimit === undefined ? {} : { foreignLimit: options.foreignLimit }),
    memSlots: options.memSlots ?? options.servesSupervisor === true,
    ...(threadModule === undefined ? {} : { threadModule }),
    onDeviceFailed: (_device, error) => {
      failure.add(error);
      manager.status(state());
    },
  });
  const served = new Served(program, daemon, { options, devices }, manager, failure);
  const supervisor = options.servesSupervisor === true ? await servingSide(daemon) : undefined;
  try {
    using control = await controlOf(options, logger);
    const onServed = (all: readonly ServedDevice[]): void => {
      control?.serve(all, status);
      supervisor?.started();
    };
    return await served.run(logger, state, onServed, supervisor?.supervisorGone);
  } finally {
    supervisor?.[Symbol.dispose]();
    manager.close();
    await daemon.close();
  }
}

/** Opens what the daemon is driven through. @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET */
async function controlOf(
  { controlSocket }: ServingOptions,
  logger: Logger,
): Promise<DaemonControl | undefined> {
  if (controlSocket === undefined) return undefined;
  return (await import('./control/open-daemon.ts')).openDaemonControl(controlSocket, logger);
}

/** Loads what maps memory of Xen domains, where it is wanted: nothing else of Xen is loaded. */
async function foreignMapping({ xenMmap }: ServingOptions): Promise<MapForeign | undefined> {
  if (!(xenMmap ?? existsSync(PRIVCMD_PATH))) return undefined;
  return (await import('@node-vmm/vm-memory/xen')).mapForeign;
}

async function servingSide(daemon: VhostUserDaemon): Promise<ServingSide> {
  const { ServingSide } = await import('@node-vmm/vhost-supervisor/serving-side');
  return new ServingSide((timeoutMs) => daemon.responsive(timeoutMs));
}

/** A daemon's devices from their making to the reason for the end. */
class Served {
  readonly #program: Program;
  readonly #daemon: VhostUserDaemon;
  readonly #options: ServingOptions;
  readonly #devices: readonly PlacedDevice[];
  readonly #manager: ServiceManager;
  readonly #failure: FatalFailure;

  constructor(
    program: Program,
    daemon: VhostUserDaemon,
    { options, devices }: { options: ServingOptions; devices: readonly PlacedDevice[] },
    manager: ServiceManager,
    failure: FatalFailure,
  ) {
    this.#program = program;
    this.#daemon = daemon;
    this.#options = options;
    this.#devices = devices;
    this.#manager = manager;
    this.#failure = failure;
  }

  /**
   * @param state - for people who ask the service manager
   * @param onServed - called when the devices are served
   * @param supervisorGone - resolves when the process that this one serves for is gone
   * @returns the exit code
   */
  async run(
    logger: Logger,
    state: () => string,
    onServed: (devices: readonly ServedDevice[]) => void,
    supervisorGone?: Promise<void>,
  ): Promise<number> {
    const { ended } = this.#program.signals;
    const prepared = this.#prepare();
    // Whoever asks for the end meanwhile makes the rest of it fail, and need not hear that.
    prepared.catch(() => undefined);
    const first = await Promise.race([ended, this.#failure.happened, prepared]);
    if (first === undefined) return EXIT_FAILURE;
    const devices = Array.isArray(first) ? first : [];
    if (Array.isArray(first)) {
      const { user } = this.#options;
      if (user !== undefined) (await import('./drop-privileges.ts')).dropPrivileges(user);
      for (const device of devices) device.serve();
      onServed(devices);
      this.#manager.ready(state());
      this.#manager.watch((timeoutMs) => this.#daemon.responsive(timeoutMs));
    }
    this.#failure.complete();
    const deserted = Promise.all(devices.map((device) => device.deserted));
    const reason = await Promise.race([
      ended,
      this.#failure.happened,
      ...(supervisorGone === undefined ? [] : [supervisorGone.then(() => 'supervisor gone')]),
      ...(Array.isArray(first) ? [deserted] : []),
    ]);
    this.#manager.stopping();
    if (typeof reason === 'string') {
      logger.info({ signal: reason }, 'ending');
      return EXIT_OK;
    }
    if (Array.isArray(reason)) {
      logger.info({}, 'ending: the front-end that was passed has gone');
      return EXIT_OK;
    }
    // A supervisor can start us anew; a daemon that looks alive and serves nobody helps nobody.
    this.#program.complain(reason.message);
    return EXIT_FAILURE;
  }

  /**
   * Opens everything that may take rights.
   *
   * @returns undefined when it could not be done, which the user has been told
   */
  async #prepare(): Promise<ServedDevice[] | undefined> {
    const { signals } = this.#program;
    const { restartFailed, queueWorkers } = this.#options;
    const { socketProblem } = await import('./sockets.ts');
    const { stateOf } = await import('./state-files.ts');
    const prepared: ServedDevice[] = [];
    for (const { name, module, options, place, ...own } of this.#devices) {
      if (signals.ending) break;
      const queues = own.queueWorkers ?? queueWorkers;
      try {
        const device = await this.#daemon.prepareDevice({
          name,
          module,
          options,
          ...place,
          ...stateOf(this.#options, name),
          ...(queues === undefined ? {} : { queueWorkers: queues }),
          // A front-end that was passed does not come again.
          ...(restartFailed === true && place.connectedFd === undefined ? { restart: {} } : {}),
        });
        prepared.push(device);
      } catch (error) {
        if (signals.ending) break;
        this.#program.complain(socketProblem(error, place.socketPath));
        return undefined;
      }
    }
    return prepared;
  }
}
