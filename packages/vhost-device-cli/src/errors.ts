import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * - `USAGE`: the command line makes no sense.
 * - `BAD_DIRECTORY`: there is no directory for the sockets, or for the devices' state.
 * - `BAD_ENVIRONMENT`: what the service manager says in the environment makes no sense.
 * - `SOCKET_COUNT`: there are not as many sockets as devices.
 * - `CONTROL_SOCKET`: the control socket cannot be opened.
 * - `METRICS`: the metrics cannot be served where that was asked for.
 * - `OPEN_FILES`: the process may not have as many open files as serving can take.
 * - `NOT_PERMITTED`: the process may not become the user that it is to be.
 */
export type CliErrorCode =
  | 'USAGE'
  | 'BAD_DIRECTORY'
  | 'BAD_ENVIRONMENT'
  | 'SOCKET_COUNT'
  | 'CONTROL_SOCKET'
  | 'METRICS'
  | 'OPEN_FILES'
  | 'NOT_PERMITTED';

/** What the error is about. */
export interface CliErrorContext {
  readonly path?: string;
}

/** The error of this package. */
export class CliError extends CodedError<CliErrorCode, CliErrorContext> {
  static override readonly brand = '@node-vmm/vhost-device-cli/CliError';
}
