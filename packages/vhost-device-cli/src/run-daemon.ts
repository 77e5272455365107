import { existsSync } from 'node:fs';
import type { MapForeign, ServedDevice, VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { StatusReport } from './control/commands.ts';
import type { OpenControl } from './control/open.ts';
import type { DaemonOptions } from './daemon-options.ts';
import { EXIT_FAILURE, EXIT_OK } from './exit-codes.ts';
import { FatalFailure } from './fatal-failure.ts';
import type { Program } from './program.ts';

/** How long SIGUSR1 waits for a device that does not answer, milliseconds. */
const STATUS_MS = 1000;

/** Where Linux has Xen's privcmd (xenfs had it elsewhere before 2012). */
const PRIVCMD_PATH = '/dev/xen/privcmd';

/** A daemon that serves one device of a kind on each of its sockets. */
export interface DaemonSpec {
  readonly options: DaemonOptions;
  /** Devices are `<device>0`, `<device>1`, ... */
  readonly device: string;
  /** Module that exports `createDevice`: `deviceModule('./device.js', import.meta.url)`. */
  readonly module: URL;
  /**
   * For `createDevice` of the n-th device, 0 for the first; cloneable, and shown in the first log line.
   * Looks at the host; called for each when the sockets have been found to be possible.
   */
  readonly deviceOptions: (index: number) => object;
}

type Found = Omit<DaemonSpec, 'deviceOptions'> & { readonly deviceOptions: readonly object[] };

/**
 * Serves until a signal asks for the end or no device is left: each that fails ends alone, unless the
 * options say otherwise.
 *
 * @returns the exit code
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET
 * @throws what `deviceOptions` throws
 */
export async function runDaemon(program: Program, spec: DaemonSpec): Promise<number> {
  const { options } = spec;
  const { workers, logLevel, socketCount } = options;
  // Here and not above: who asks for a version needs none of it.
  const { checkSockets } = await import('./sockets.ts');
  checkSockets(options);
  (await import('./state-files.ts')).checkStateDirectory(options);
  const deviceOptions = Array.from({ length: socketCount }, (_, i) => spec.deviceOptions(i));
  let daemon: VhostUserDaemon | undefined;
  const status: StatusReport = async () => ({
    devices: (await daemon?.status({ timeoutMs: STATUS_MS })) ?? [],
  });
  const logger = await program.start({ level: logLevel }, status);
  const { shownOptions } = await import('./shown-options.ts');
  logger.info({ sockets: socketCount, ...shownOptions(deviceOptions) }, 'starting');
  const backend = await import('@node-vmm/vhost-user-backend');
  const mapForeign = await foreignMapping(options);
  const failure = new FatalFailure(options.exitOnFailure === true, () => daemon?.serving ?? 0);
  daemon = new backend.VhostUserDaemon({
    logger,
    workers,
    ...(mapForeign === undefined ? {} : { mapForeign }),
    onDeviceFailed: (_device, error) => failure.add(error),
  });
  try {
    using control = await controlOf(options, logger);
    const serving = (devices: ServedDevice[]): void => control?.serve(devices, status);
    return await serve(program, daemon, { ...spec, deviceOptions }, logger, failure, serving);
  } finally {
    await daemon.close();
  }
}

async function serve(
  program: Program,
  daemon: VhostUserDaemon,
  spec: Found,
  logger: Logger,
  failure: FatalFailure,
  serving: (devices: ServedDevice[]) => void,
): Promise<number> {
  const { ended } = program.signals;
  const prepared = prepareDevices(program, daemon, spec);
  // Whoever asks for the end meanwhile makes the rest of it fail, and need not hear that.
  prepared.catch(() => undefined);
  const first = await Promise.race([ended, failure.happened, prepared]);
  if (first === undefined) return EXIT_FAILURE;
  if (Array.isArray(first)) {
    const { user } = spec.options;
    if (user !== undefined) (await import('./drop-privileges.ts')).dropPrivileges(user);
    for (const device of first) device.serve();
    serving(first);
  }
  failure.complete();
  const reason = await Promise.race([ended, failure.happened]);
  if (typeof reason === 'string') {
    logger.info({ signal: reason }, 'ending');
    return EXIT_OK;
  }
  // A supervisor can start us anew; a daemon that looks alive and serves nobody helps nobody.
  program.complain(reason.message);
  return EXIT_FAILURE;
}

/** Opens what the daemon is driven through. @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET */
async function controlOf(
  { controlSocket }: DaemonOptions,
  logger: Logger,
): Promise<OpenControl | undefined> {
  if (controlSocket === undefined) return undefined;
  return (await import('./control/open.ts')).openControl(controlSocket, logger);
}

/** Loads what maps memory of Xen domains, where it is wanted: nothing else of Xen is loaded. */
async function foreignMapping({ xenMmap }: DaemonOptions): Promise<MapForeign | undefined> {
  if (!(xenMmap ?? existsSync(PRIVCMD_PATH))) return undefined;
  return (await import('@node-vmm/vm-memory/xen')).mapForeign;
}

/**
 * Opens everything that may take rights.
 *
 * @returns undefined when it could not be done, which the user has been told
 */
async function prepareDevices(
  program: Program,
  daemon: VhostUserDaemon,
  { options, device, module, deviceOptions }: Found,
): Promise<ServedDevice[] | undefined> {
  const { socketOf, socketProblem } = await import('./sockets.ts');
  const { stateOf } = await import('./state-files.ts');
  const devices: ServedDevice[] = [];
  for (let i = 0; i < options.socketCount && !program.signals.ending; i++) {
    const socket = socketOf(options, i);
    try {
      const prepared = await daemon.prepareDevice({
        name: `${device}${i}`,
        module,
        options: deviceOptions[i],
        ...socket,
        ...stateOf(options, `${device}${i}`),
        ...(options.restartFailed === true ? { restart: {} } : {}),
      });
      devices.push(prepared);
    } catch (error) {
      if (program.signals.ending) return devices;
      program.complain(socketProblem(error, socket.socketPath));
      return undefined;
    }
  }
  return devices;
}
