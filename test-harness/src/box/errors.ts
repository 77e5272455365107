import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/** Every reason for which the box gives up; stable, to be matched on by callers. */
export type BoxErrorCode =
  | 'APT_FAILED'
  | 'BAD_ENVIRONMENT'
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

/** The one error class of the box. `details` (log tails) is part of the message. */
export class BoxError extends CodedError<BoxErrorCode> {
  static override readonly brand = '@node-vmm/test-harness/BoxError';

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
      code,
      options.details ? `${message}\n${options.details}` : message,
      {},
      'cause' in options ? { cause: options.cause } : undefined,
    );
  }
}
