/** Every reason for which the box gives up; stable, to be matched on by callers. */
export type BoxErrorCode =
  | 'APT_FAILED'
  | 'APT_NOT_PERMITTED'
  | 'BAD_OPTION'
  | 'BUILD_FAILED'
  | 'COMMAND_FAILED'
  | 'DOMAIN_GONE'
  | 'MACHINE_EXITED'
  | 'MISSING_ARTEFACT'
  | 'MISSING_TOOL'
  | 'NOT_AVAILABLE'
  | 'NO_MIRROR'
  | 'PROTOCOL'
  | 'TIMEOUT';

const BRAND = Symbol.for('@node-vmm/test-harness.BoxError');

/** The one error class of the box. `details` (log tails) is part of the message. */
export class BoxError extends Error {
  override readonly name = 'BoxError';
  readonly code: BoxErrorCode;
  readonly [BRAND] = true;

  /**
   * @param code - the reason
   * @param message - `Cannot <action> <subject>: <state>`, with the remedy where there is one
   * @param options - `details`: text appended to the message (tails of logs); `cause`
   */
  constructor(
    code: BoxErrorCode,
    message: string,
    options: { details?: string; cause?: unknown } = {},
  ) {
    super(
      options.details ? `${message}\n${options.details}` : message,
      'cause' in options ? { cause: options.cause } : undefined,
    );
    this.code = code;
  }

  /** True for a `BoxError`, also one of another copy of this module. */
  static is(error: unknown): error is BoxError {
    return typeof error === 'object' && error !== null && BRAND in error;
  }
}
