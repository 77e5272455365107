import { invalidField } from './invalid-field.ts';

const CLONE_REMEDY =
  'options go to another thread: give what a function or handle is made of, and make it in createDevice';

/**
 * The error for options that cannot go to another thread: it names the first that cannot.
 *
 * @param root - how their author spells them
 * @param error - what was thrown when they were to be sent
 * @returns the same error when it is another
 */
export function cloneError(
  device: string,
  root: string,
  options: unknown,
  error: unknown,
): unknown {
  if (!(error instanceof Error) || error.name !== 'DataCloneError') return error;
  const { field, got } = uncloneable(root, options, new Set());
  const expected = 'what postMessage can clone';
  return invalidField(device, field, { expected, got, remedy: CLONE_REMEDY, cause: error });
}

/** The innermost value that cannot be cloned. @param seen - objects on the way, which may be a circle */
function uncloneable(
  field: string,
  got: unknown,
  seen: Set<unknown>,
): { readonly field: string; readonly got: unknown } {
  if (typeof got === 'object' && got !== null) {
    seen.add(got);
    for (const [key, member] of Object.entries(got)) {
      if (seen.has(member) || isCloneable(member)) continue;
      return uncloneable(Array.isArray(got) ? `${field}[${key}]` : `${field}.${key}`, member, seen);
    }
  }
  return { field, got };
}

function isCloneable(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}
