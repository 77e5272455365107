import type { User } from './drop-privileges.ts';
import type { LogLevel } from './log-levels.ts';

/** What every daemon's command line says: see `addDaemonOptions`. */
export interface DaemonOptions {
  /** Sockets are `<socketPath>0` .. `<socketPath><socketCount - 1>`. */
  readonly socketPath: string;
  readonly socketCount: number;
  /** Permission bits of the sockets; default by the process's umask. */
  readonly socketMode?: number;
  /** Group that owns the sockets; default the process's. */
  readonly socketGroup?: number;
  /** Who to become before the first front-end is served; default nobody else. */
  readonly user?: User;
  /** Offer XEN_MMAP; default where the machine has Xen's privcmd device. */
  readonly xenMmap?: boolean;
  /** Make a device again that has failed; default no. */
  readonly restartFailed?: boolean;
  /** End with the first device that fails; default with the last. */
  readonly exitOnFailure?: boolean;
  /** Threads that serve the devices. */
  readonly workers: number;
  readonly logLevel: LogLevel;
  /** Socket through which the devices are driven from outside; default none. */
  readonly controlSocket?: string;
  /** Directory for what devices keep over a crash: `<stateDir>/<device>.state`; default none. */
  readonly stateDir?: string;
}
