import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * Why a request was not done:
 * - `USAGE`: it makes no sense, to the daemon or to the device
 * - `REFUSED`: the device cannot do it, now or at all
 * - `NO_DEVICE`: there is no device of that name, or it has to be said which
 * - `UNSUPPORTED`: the device knows no commands
 * - `DEVICE_FAILED`, `DEVICE_HANGS`, `WORKER_FAILED`, `CLOSED`: the device serves nothing, perhaps for now
 * - `TOO_LONG`: a line is longer than the protocol has them; the connection ends
 * - `BUSY`: there are as many connections as there may be; this one ends
 * - `DISCONNECTED`: the daemon has ended the connection, or answers what is no answer
 * - any other: of the operating system, as `ENOENT` and `ECONNREFUSED` where no daemon listens
 */
export type ControlErrorCode = string;

/** The socket, where that is known. */
export interface ControlErrorContext {
  readonly path?: string;
}

/** What a daemon answers on its control socket when it does not do what was asked, or cannot be asked. */
export class ControlError extends CodedError<ControlErrorCode, ControlErrorContext> {
  static override readonly brand = '@node-vmm/vhost-device-cli/ControlError';
}
