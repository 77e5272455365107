import { VhostUserBackendError } from '../errors.ts';

/** What to write for a module in place of its path. */
export const MODULE_REMEDY = "write new URL('./device.js', import.meta.url)";

/** Longest text that is quoted. */
const MAX_SHOWN = 60;

/** What is wrong with a field. */
export interface FieldProblem {
  /** With its article: `a function`. */
  readonly expected: string;
  readonly got: unknown;
  /** What to write instead, where that is not plain from what was expected. */
  readonly remedy?: string | undefined;
  readonly cause?: unknown;
}

/**
 * The error for what an author wrote that cannot be: it names device, field and what was expected.
 *
 * @param field - as its author spells it: `queueMaxSizes[1]`
 */
export function invalidField(
  device: string,
  field: string,
  { expected, got, remedy, cause }: FieldProblem,
): VhostUserBackendError {
  const more = remedy === undefined ? '' : `; ${remedy}`;
  const text = `Cannot serve device ${device}: "${field}" expected ${expected}, got ${shown(got)}${more}`;
  const options = cause === undefined ? {} : { cause };
  return new VhostUserBackendError('INVALID_DEVICE', text, { device }, options);
}

/** A value in few words, without running any code of its owner. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}...` : value);
    case 'bigint':
      return `${value}n`;
    case 'number':
      return `the number ${value}`;
    case 'function':
      return 'a function';
    case 'symbol':
      return 'a symbol';
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? `an array of ${value.length}` : 'an object';
    default:
      return String(value);
  }
}

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** Also one of another realm, as test runners have them. */
export function isUrl(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'href' in value && 'searchParams' in value;
}
