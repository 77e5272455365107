import {
  EACCES,
  EAGAIN,
  EBUSY,
  EEXIST,
  EINVAL,
  EMFILE,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOSYS,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  SysError,
} from '@node-vmm/vmm-sys-util';
import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/** What went wrong. Codes are never renumbered or reused. */
export type KvmSysErrorCode =
  /** There is no /dev/kvm, or no driver behind it. */
  | 'NO_KVM'
  /** The device refuses this user, or the kernel the operation. */
  | 'NOT_PERMITTED'
  /** The kernel or the processor does not have the operation. */
  | 'UNSUPPORTED'
  /** The kernel speaks another version of the interface. */
  | 'BAD_VERSION'
  /** The object exists already or is in use by somebody else. */
  | 'IN_USE'
  /** No object of that name: region, assignment. */
  | 'NOT_FOUND'
  /** The kernel does not accept the arguments. */
  | 'INVALID'
  /** No descriptors, memory or slots are left. */
  | 'EXHAUSTED'
  /** The kernel's answer is outside of the memory that it shares with us. */
  | 'BAD_EXIT'
  /** Used after close. */
  | 'CLOSED'
  /** A vCPU's thread did not end within its deadline. */
  | 'STILL_RUNNING'
  /** Any other failure; `context.errno` tells more. */
  | 'FAILED';

/** What was being done. */
export interface KvmSysErrorContext {
  /** Number of the vCPU. */
  readonly vcpu?: number;
  /** errno of Linux, a positive number. */
  readonly errno?: number;
}

/** A failed operation on KVM. */
export class KvmSysError extends CodedError<KvmSysErrorCode, KvmSysErrorContext> {
  static override readonly brand = '@node-vmm/kvm-sys/KvmSysError';
}

/** The code that an errno of an ioctl of KVM means. */
export function codeOfErrno(errno: number): KvmSysErrorCode {
  switch (errno) {
    case EPERM:
    case EACCES:
      return 'NOT_PERMITTED';
    case ENOSYS:
    case ENOTTY:
    case EOPNOTSUPP:
    case ENODEV:
      return 'UNSUPPORTED';
    case ENOENT:
    case ENXIO:
      return 'NOT_FOUND';
    case EBUSY:
    case EEXIST:
    case EAGAIN:
      return 'IN_USE';
    case EINVAL:
      return 'INVALID';
    case ENOMEM:
    case EMFILE:
    case ENOSPC:
      return 'EXHAUSTED';
    default:
      return 'FAILED';
  }
}

/**
 * Turns a failed system call into a coded error that names the operation.
 *
 * @param action - completes "Cannot ..."
 * @param context - whom it is about, and what to do about it
 */
export function wrapSysError(
  error: unknown,
  action: string,
  context: { readonly vcpu?: number; readonly hint?: string } = {},
): unknown {
  if (!SysError.is(error)) return error;
  const { hint, ...rest } = context;
  return new KvmSysError(
    codeOfErrno(error.errno),
    `Cannot ${action}: ${error.code}${hint === undefined ? '' : ` (${hint})`}`,
    { errno: error.errno, ...rest },
    { cause: error },
  );
}

/**
 * Runs what issues system calls, and names the operation when they fail.
 *
 * @param action - completes "Cannot ..."
 * @throws {KvmSysError} with the code that the errno means
 */
export function naming<T>(
  action: string,
  call: () => T,
  context: { readonly vcpu?: number; readonly hint?: string } = {},
): T {
  try {
    return call();
  } catch (error) {
    throw wrapSysError(error, action, context);
  }
}
