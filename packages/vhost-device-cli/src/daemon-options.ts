import type { User } from './drop-privileges.ts';
import type { LogLevel } from './log-levels.ts';

/** An open Unix socket that another program passed: it listens, or is connected to a front-end. */
export interface PassedSocket {
  readonly fd: number;
  /** For messages: `--fd 3`, or the name that the service manager gave. */
  readonly name: string;
}

/** Where a daemon's sockets are: see `openPlaces`. */
export interface SocketOptions {
  /**
   * Path of the socket. With `numberedSockets` it begins the paths of all: `<socketPath>0` ..
   * `<socketPath><socketCount - 1>`.
   */
  readonly socketPath?: string;
  /** How many sockets, and so devices, there are. */
  readonly socketCount: number;
  /** The number of sockets was told, as rust-vmm's daemons are: then a number follows the path. */
  readonly numberedSockets?: boolean;
  /** Instead of `socketPath`: as many as `socketCount`. */
  readonly passedSockets?: readonly PassedSocket[];
  /** Permission bits of the sockets; default by the process's umask. */
  readonly socketMode?: number;
  /** Group that owns the sockets; default the process's. */
  readonly socketGroup?: number;
}

/** How devices are served, whatever they are and wherever their sockets. */
export interface ServingOptions {
  /** Who to become before the first front-end is served; default nobody else. */
  readonly user?: User;
  /** Offer XEN_MMAP; default where the machine has Xen's privcmd device. */
  readonly xenMmap?: boolean;
  /** Most bytes of a Xen domain's memory that stay mapped unused; default: see `VhostUserDaemonOptions`. */
  readonly foreignLimit?: number;
  /** Offer CONFIGURE_MEM_SLOTS; default no: see `memSlots` of `VhostUserDaemon`. */
  readonly memSlots?: boolean;
  /** Make a device again that has failed; default no. */
  readonly restartFailed?: boolean;
  /** End with the first device that fails; default with the last. */
  readonly exitOnFailure?: boolean;
  /** Threads that serve the devices. */
  readonly workers: number;
  /** Most threads that serve one device's queues; default 1. */
  readonly queueWorkers?: number;
  readonly logLevel: LogLevel;
  /** Socket through which the devices are driven from outside; default none. */
  readonly controlSocket?: string;
  /** Directory for what devices keep over a crash: `<stateDir>/<device>.state`; default none. */
  readonly stateDir?: string;
  /** This process is the one that serves, and a supervisor has started it. */
  readonly servesSupervisor?: boolean;
}

/** What every daemon's command line says: see `addDaemonOptions`. */
export interface DaemonOptions extends SocketOptions, ServingOptions {
  /** Serve from a process that may die while this one holds the front-ends' connections. */
  readonly supervised?: boolean;
}
