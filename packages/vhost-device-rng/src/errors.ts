import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * What went wrong:
 * - `SOURCE_UNUSABLE`: the source cannot be opened, or is nothing that can be read
 * - `SOURCE_ENDED`: the source is a file, and all of it has been read
 */
export type RngErrorCode = 'SOURCE_UNUSABLE' | 'SOURCE_ENDED';

/** Where it went wrong. */
export interface RngErrorContext {
  readonly path?: string;
}

/** The error of this package. */
export class RngError extends CodedError<RngErrorCode, RngErrorContext> {
  static override readonly brand = '@node-vmm/vhost-device-rng/RngError';
}
