import { CodedError } from '../coded-error.ts';

/**
 * Why memory cannot be guarded:
 * - `UNSUPPORTED`: there is no handler for this processor
 * - `TABLE_FULL`: as many mappings as the table has room for are guarded already
 */
export type FaultGuardErrorCode = 'UNSUPPORTED' | 'TABLE_FULL';

/** What the error is about. */
export interface FaultGuardErrorContext {
  /** As `process.arch` has it. */
  readonly arch?: string;
  /** Entries that the table has. */
  readonly capacity?: number;
}

/** An error of {@link FaultGuard}: `code` says which. */
export class FaultGuardError extends CodedError<FaultGuardErrorCode, FaultGuardErrorContext> {
  static override readonly brand = '@node-vmm/vmm-sys-util/FaultGuardError';
}
