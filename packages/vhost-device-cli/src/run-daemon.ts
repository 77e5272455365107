import type { DaemonOptions } from './daemon-options.ts';
import { CliError } from './errors.ts';
import type { Program } from './program.ts';
import { servePlaced } from './run-devices.ts';

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
  /** As `threadModule` of `VhostUserDaemonOptions`: for a program that is bundled. */
  readonly threadModule?: URL;
  /**
   * The devices return the requests of each ring in the order in which they took them, and no driver relies
   * on what they have in their memory alone: what `--supervised` takes. Default false.
   */
  readonly supervisable?: boolean;
  /**
   * The devices keep what their drivers rely on in state files, and may return requests in any order:
   * `--supervised` takes them where there is a `--state-dir`. Default false.
   */
  readonly stateful?: boolean;
  /** Queues of each device: what open files are reckoned by at the start; default 2. */
  readonly queueCount?: number;
}

/**
 * Serves until a signal asks for the end or no device is left: `runDevices` with devices of one kind.
 *
 * @returns the exit code
 * @throws {CliError} USAGE, BAD_DIRECTORY, CONTROL_SOCKET, OPEN_FILES
 * @throws {DescriptorError} when a socket that was passed is none
 * @throws what `deviceOptions` throws
 */
export async function runDaemon(program: Program, spec: DaemonSpec): Promise<number> {
  const { options, device, module, deviceOptions } = spec;
  // Here and not above: who asks for a version needs none of it.
  const { socketPlaces } = await import('./sockets.ts');
  const places = socketPlaces(options);
  (await import('./state-files.ts')).checkStateDirectory(options);
  if (options.supervised === true) {
    const { supervisable = false, stateful = false } = spec;
    if (stateful && options.stateDir === undefined) {
      throw new CliError(
        'USAGE',
        `Cannot use --supervised: what a ${device} device has is lost with the serving process; give --state-dir, in which it outlives that`,
      );
    }
    if (!supervisable && !stateful) {
      throw new CliError(
        'USAGE',
        `Cannot use --supervised: what this ${device} device has would be lost with the serving process`,
      );
    }
    const { supervise } = await import('./supervise.ts');
    return supervise(program, options, spec, places);
  }
  return servePlaced(
    program,
    options,
    places.map((place, i) => ({
      name: `${device}${i}`,
      module,
      options: deviceOptions(i),
      place,
      ...(spec.queueCount === undefined ? {} : { queueCount: spec.queueCount }),
    })),
    spec.threadModule,
  );
}
