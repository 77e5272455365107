import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/** Why a supervised device is not served. */
export type VhostSupervisorErrorCode =
  /** The serving process ended before it served anything, or ended the front-end's connection. */
  | 'SERVING_PROCESS_FAILED'
  /** What the front-end has set up cannot be given to the new serving process. */
  | 'CANNOT_REPLAY'
  /** The sockets of the serving process would have paths that are too long. */
  | 'PATH_TOO_LONG'
  /** The front-end asks for what a supervised device does not have. */
  | 'UNSUPPORTED';

/** What goes with a {@link VhostSupervisorError}. */
export interface VhostSupervisorErrorContext {
  /** Verbatim name of the request. */
  readonly request?: string;
  readonly ring?: number;
  /** How the serving process ended. */
  readonly status?: number | null;
  readonly signal?: string | null;
}

/** A supervised device that is not served. */
export class VhostSupervisorError extends CodedError<
  VhostSupervisorErrorCode,
  VhostSupervisorErrorContext
> {
  static override readonly brand = '@node-vmm/vhost-supervisor/VhostSupervisorError';
}
