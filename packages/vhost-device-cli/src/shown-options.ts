import { isDeepStrictEqual } from 'node:util';

/**
 * Options of a daemon's devices for its first log line: those that all have, or each device's.
 *
 * @param options - one for each device, in their order
 */
export function shownOptions(options: readonly object[]): object {
  const [first, ...others] = options;
  const same = others.every((other) => isDeepStrictEqual(other, first));
  return same ? { ...first } : { devices: options };
}
