import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * What went wrong:
 * - `INVALID_DEVICE`: a device module or the device that it made breaks the contract
 * - `DEVICE_FAILED`: device code threw; `cause` has its stack. The device serves nothing any more
 * - `DEVICE_HANGS`: device code did not come back, and its worker was ended with all devices on it
 * - `WORKER_FAILED`: a worker thread ended by itself, and all its devices with it
 * - `HOST_THREAD_FAILED`: a host thread ended by itself; each device that used it fails
 * - `THREAD_MODULE`: what threads run is not where it should be, as in a bundle
 * - `CLOSED`: the daemon, or the device, has been closed
 * - `UNSUPPORTED`: a request that this back-end does not serve
 * - `INVALID_REQUEST`: a request that is wrong by itself (index, size, descriptor)
 * - `INVALID_STATE`: a request that is wrong now (not negotiated, ring not configured)
 * - `RING_FAULT`: what the guest chose for a ring cannot be; that ring alone is not served
 * - `STATE_FILE`: a device's state file cannot be had: another process has it, or it is no file of ours
 * - `MEMORY_FAULT`: guest memory that a front-end shares is not there: its file was truncated, or there is no
 *   room or huge page for it. That front-end is dropped. Device code may throw it, for EFAULT of a system call
 * - `INVALID_MEMORY`: a memory region that cannot be mapped, or an address outside all of them
 */
export type VhostUserBackendErrorCode =
  | 'INVALID_DEVICE'
  | 'DEVICE_FAILED'
  | 'DEVICE_HANGS'
  | 'WORKER_FAILED'
  | 'HOST_THREAD_FAILED'
  | 'THREAD_MODULE'
  | 'CLOSED'
  | 'UNSUPPORTED'
  | 'INVALID_REQUEST'
  | 'INVALID_STATE'
  | 'RING_FAULT'
  | 'STATE_FILE'
  | 'MEMORY_FAULT'
  | 'INVALID_MEMORY';

/** Names and numbers that go with an error. */
export interface VhostUserBackendErrorContext {
  readonly device?: string;
  readonly ring?: number;
  readonly request?: string;
  readonly path?: string;
}

/** An error of the daemon framework: `code` says which. */
export class VhostUserBackendError extends CodedError<
  VhostUserBackendErrorCode,
  VhostUserBackendErrorContext
> {
  static override readonly brand = '@node-vmm/vhost-user-backend/VhostUserBackendError';
}

/**
 * Why a device does not do what it was asked for from outside:
 * - `USAGE`: the words make no sense to it; the message says what does
 * - `REFUSED`: they do, but it cannot be done, now or at all
 */
export type DeviceCommandErrorCode = 'USAGE' | 'REFUSED';

/** The device, where that is known. */
export interface DeviceCommandErrorContext {
  readonly device?: string;
}

/** What a device answers a command with that it does not do: see `VhostUserDevice.command`. */
export class DeviceCommandError extends CodedError<
  DeviceCommandErrorCode,
  DeviceCommandErrorContext
> {
  static override readonly brand = '@node-vmm/vhost-user-backend/DeviceCommandError';
}
