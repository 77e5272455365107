import { getSystemErrorMap } from 'node:util';

const MARK: unique symbol = Symbol.for('@node-vmm/vmm-sys-util/SysError');

/** What was being done when a system call failed. */
export interface SysErrorContext {
  /** System call, with the request where that says more: `ioctl(IOCTL_PRIVCMD_DM_OP)`. */
  readonly syscall: string;
  /** Value of `errno`, a positive number. */
  readonly errno: number;
  /** Path, address or other subject. */
  readonly subject?: string;
}

/**
 * A failed system call. `code` is the symbolic errno (`'EAGAIN'`), as Node's own errors have it.
 */
export class SysError extends Error {
  override readonly name = 'SysError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly [MARK] = true;

  constructor(context: SysErrorContext, options?: ErrorOptions) {
    const [code, text] = getSystemErrorMap().get(-context.errno) ?? [
      `E${context.errno}`,
      'unknown error',
    ];
    const on = context.subject === undefined ? '' : ` on ${context.subject}`;
    super(`${context.syscall} failed${on}: ${code} (${text})`, options);
    this.code = code;
    this.errno = context.errno;
    this.syscall = context.syscall;
  }

  /** True for a `SysError` of any copy of this package. */
  static is(error: unknown): error is SysError {
    return typeof error === 'object' && error !== null && MARK in error;
  }
}

/** A descriptor that somebody passed is not what it should be. */
export class DescriptorError extends Error {
  override readonly name = 'DescriptorError';
  readonly code = 'INVALID_DESCRIPTOR';
}

/** The `code` of an error that has one (`SysError`, Node's errors, coded errors), else undefined. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The message of anything thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
