import type { VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { DaemonOptions } from './daemon-options.ts';
import { EXIT_FAILURE, EXIT_OK } from './exit-codes.ts';
import { FatalFailure } from './fatal-failure.ts';
import type { Program } from './program.ts';

/** How long SIGUSR1 waits for a device that does not answer, milliseconds. */
const STATUS_MS = 1000;

/** A daemon that serves one device of a kind on each of its sockets. */
export interface DaemonSpec {
  readonly options: DaemonOptions;
  /** Devices are `<device>0`, `<device>1`, ... */
  readonly device: string;
  /** Module that exports `createDevice`: `deviceModule('./device.js', import.meta.url)`. */
  readonly module: URL;
  /**
   * For `createDevice`; cloneable, and shown in the first log line. Looks at the host; called when
   * the sockets have been found to be possible.
   */
  readonly deviceOptions: () => object;
}

type Found = Omit<DaemonSpec, 'deviceOptions'> & { readonly deviceOptions: object };

/**
 * Serves until a signal asks for the end or no device is left: each that fails ends alone, unless the
 * options say otherwise.
 *
 * @returns the exit code
 * @throws {CliError} USAGE, BAD_DIRECTORY
 * @throws what `deviceOptions` throws
 */
export async function runDaemon(program: Program, spec: DaemonSpec): Promise<number> {
  const { options } = spec;
  const { workers, logLevel, socketCount, xenMmap } = options;
  // Here and not above: who asks for a version needs none of it.
  const { checkSockets } = await import('./sockets.ts');
  checkSockets(options);
  const deviceOptions = spec.deviceOptions();
  let daemon: VhostUserDaemon | undefined;
  const logger = await program.start({ level: logLevel }, async () => ({
    devices: (await daemon?.status({ timeoutMs: STATUS_MS })) ?? [],
  }));
  logger.info({ sockets: socketCount, ...deviceOptions }, 'starting');
  const backend = await import('@node-vmm/vhost-user-backend');
  const failure = new FatalFailure(options.exitOnFailure === true, () => daemon?.serving ?? 0);
  daemon = new backend.VhostUserDaemon({
    logger,
    workers,
    ...(xenMmap === undefined ? {} : { xenMmap }),
    onDeviceFailed: (_device, error) => failure.add(error),
  });
  try {
    return await serve(program, daemon, { ...spec, deviceOptions }, logger, failure);
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
): Promise<number> {
  const { ended } = program.signals;
  const added = addDevices(program, daemon, spec);
  // Whoever asks for the end meanwhile makes the rest of it fail, and need not hear that.
  added.catch(() => undefined);
  const first = await Promise.race([ended, failure.happened, added]);
  if (first === false) return EXIT_FAILURE;
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

/** @returns false when it could not be done, which the user has been told */
async function addDevices(
  program: Program,
  daemon: VhostUserDaemon,
  { options, device, module, deviceOptions }: Found,
): Promise<boolean> {
  const { socketOf, socketProblem } = await import('./sockets.ts');
  for (let i = 0; i < options.socketCount && !program.signals.ending; i++) {
    const socket = socketOf(options, i);
    try {
      await daemon.addDevice({
        name: `${device}${i}`,
        module,
        options: deviceOptions,
        ...socket,
        ...(options.restartFailed === true ? { restart: {} } : {}),
      });
    } catch (error) {
      if (program.signals.ending) return true;
      program.complain(socketProblem(error, socket.socketPath));
      return false;
    }
  }
  return true;
}
