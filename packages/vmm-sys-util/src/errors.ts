import { CodedError } from './coded-error.ts';

export { CodedError } from './coded-error.ts';

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
export class SysError extends CodedError<string, SysErrorContext> {
  static override readonly brand = '@node-vmm/vmm-sys-util/SysError';

  constructor(context: SysErrorContext, options?: ErrorOptions) {
    // Not imported: that would make Node's standard streams, which no module of this door may, see
    // `replaceStandardStreams` of vhost-device-cli.
    const { getSystemErrorMap } = process.getBuiltinModule('node:util');
    const [code, text] = getSystemErrorMap().get(-context.errno) ?? [
      `E${context.errno}`,
      'unknown error',
    ];
    const on = context.subject === undefined ? '' : ` on ${context.subject}`;
    super(code, `${context.syscall} failed${on}: ${code} (${text})`, context, options);
  }

  /** Value of `errno`, a positive number. */
  get errno(): number {
    return this.context.errno;
  }

  /** System call, as Node's own errors have it. */
  get syscall(): string {
    return this.context.syscall;
  }
}

/** Which descriptor it was. */
export interface DescriptorErrorContext {
  readonly fd?: number;
}

/** A descriptor that somebody passed is not what it should be. */
export class DescriptorError extends CodedError<'INVALID_DESCRIPTOR', DescriptorErrorContext> {
  static override readonly brand = '@node-vmm/vmm-sys-util/DescriptorError';
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
