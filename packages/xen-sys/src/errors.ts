import {
  EACCES,
  EAGAIN,
  EBUSY,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOSYS,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
  SysError,
} from '@node-vmm/vmm-sys-util';
import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/** What went wrong. Codes are never renumbered or reused. */
export type XenSysErrorCode =
  /** There is no /dev/xen/privcmd: not a Xen domain, or a kernel without the driver. */
  | 'NO_PRIVCMD'
  /** There is no /dev/xen/evtchn. */
  | 'NO_EVTCHN'
  /** The device, the kernel's restriction or the hypervisor's policy refuses. */
  | 'NOT_PERMITTED'
  /** No domain has that id, or it is being destroyed. */
  | 'NO_SUCH_DOMAIN'
  /** The kernel or the hypervisor does not have the operation. */
  | 'UNSUPPORTED'
  /** More vCPUs than one ioreq page has slots for. */
  | 'TOO_MANY_VCPUS'
  /** The object exists already or is in use by somebody else. */
  | 'IN_USE'
  /** No object of that name: server, range, port. */
  | 'NOT_FOUND'
  /** The hypervisor does not accept the arguments. */
  | 'INVALID'
  /** Used after close. */
  | 'CLOSED'
  /** Any other failure; `context.errno` tells more. */
  | 'FAILED';

/** What was being done. */
export interface XenSysErrorContext {
  readonly domid?: number;
  /** errno of Linux or Xen, a positive number; the common ones are the same in both. */
  readonly errno?: number;
}

/** A failed operation on Xen. */
export class XenSysError extends CodedError<XenSysErrorCode, XenSysErrorContext> {
  static override readonly brand = '@node-vmm/xen-sys/XenSysError';
}

/** The code that an errno of a hypercall or of an ioctl of the Xen drivers means. */
export function codeOfErrno(errno: number): XenSysErrorCode {
  switch (errno) {
    case EPERM:
    case EACCES:
      return 'NOT_PERMITTED';
    case ESRCH:
      return 'NO_SUCH_DOMAIN';
    case ENOSYS:
    case ENOTTY:
    case EOPNOTSUPP:
      return 'UNSUPPORTED';
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return 'NOT_FOUND';
    case EBUSY:
    case EAGAIN:
      return 'IN_USE';
    case EINVAL:
      return 'INVALID';
    default:
      return 'FAILED';
  }
}

const HINTS: Partial<Record<XenSysErrorCode, string>> = {
  NOT_PERMITTED:
    'run as root in dom0, or in a driver domain with xenstore key "target" and FLASK policy that allow it',
  UNSUPPORTED: 'the kernel or the hypervisor does not have this operation',
};

/**
 * Turns a failed system call into a coded error that names the operation.
 *
 * @param action - completes "Cannot ..."
 * @param context - whom it is about, and what to do about it (replaces what the code implies)
 */
export function wrapSysError(
  error: unknown,
  action: string,
  context: { readonly domid?: number; readonly hint?: string } = {},
): unknown {
  if (!SysError.is(error)) return error;
  const code = codeOfErrno(error.errno);
  const hint = context.hint ?? HINTS[code];
  return new XenSysError(
    code,
    `Cannot ${action}: ${error.code}${hint === undefined ? '' : ` (${hint})`}`,
    { errno: error.errno, ...(context.domid === undefined ? {} : { domid: context.domid }) },
    { cause: error },
  );
}
