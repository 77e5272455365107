// What a service manager says in the environment: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
import type { PassedSocket } from './daemon-options.ts';
import { CliError } from './errors.ts';

/** SD_LISTEN_FDS_START of systemd/sd-daemon.h. */
const LISTEN_FDS_START = 3;
/** More descriptors than a process can have. */
const LISTEN_FDS_MAX = 1 << 20;
const MICROSECONDS = 1000;

/** The variables that are meant for one process alone, and not for its children. */
const VARIABLES = [
  'LISTEN_PID',
  'LISTEN_FDS',
  'LISTEN_FDNAMES',
  'LISTEN_PIDFDID',
  'NOTIFY_SOCKET',
  'WATCHDOG_PID',
  'WATCHDOG_USEC',
] as const;

/** How a service manager wants to hear of a service. */
export interface NotifyOptions {
  /** Its datagram socket: a path, or `@name`. Undefined: there is none who listens. */
  readonly socket: string | undefined;
  /** Milliseconds within which it wants to hear, again and again, that the service is well. */
  readonly watchdogMs: number | undefined;
}

/**
 * Sockets that the service manager has opened for this process, in its order; none when it has not, or
 * has for another process.
 *
 * @throws {CliError} BAD_ENVIRONMENT when what it says cannot be
 */
export function passedSockets(env: NodeJS.ProcessEnv, pid: number): readonly PassedSocket[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env;
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(pid)) return [];
  const count = Number(LISTEN_FDS);
  if (!/^[0-9]+$/.test(LISTEN_FDS) || count > LISTEN_FDS_MAX) {
    throw new CliError(
      'BAD_ENVIRONMENT',
      `Cannot take sockets of the service manager: LISTEN_FDS is "${LISTEN_FDS}"; expected a number`,
    );
  }
  const names = LISTEN_FDNAMES?.split(':') ?? [];
  return Array.from({ length: count }, (_, i) => {
    const fd = LISTEN_FDS_START + i;
    const name = names[i] ?? '';
    return { fd, name: name === '' || name === 'unknown' ? `descriptor ${fd}` : name };
  });
}

/** @returns where to tell the service manager how this process is */
export function notifyOptions(env: NodeJS.ProcessEnv, pid: number): NotifyOptions {
  const { NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC } = env;
  const usec = /^[0-9]+$/.test(WATCHDOG_USEC ?? '') ? Number(WATCHDOG_USEC) : 0;
  const meant = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid);
  return {
    socket: NOTIFY_SOCKET === '' ? undefined : NOTIFY_SOCKET,
    watchdogMs: meant && usec > 0 ? usec / MICROSECONDS : undefined,
  };
}

/** Takes the variables away, so that no child takes them for its own. */
export function forgetServiceManager(env: NodeJS.ProcessEnv): void {
  for (const name of VARIABLES) delete env[name];
}
