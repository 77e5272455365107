/**
 * An object of counters whose values are in memory that another thread reads.
 *
 * @param names - in the same order in both threads
 */
export function sharedCounters<T extends object>(
  names: readonly (keyof T)[],
  values: Float64Array,
): T {
  const counters = {};
  names.forEach((name, at) => {
    Object.defineProperty(counters, name, {
      enumerable: true,
      get: () => values[at],
      set: (value: number) => {
        values[at] = value;
      },
    });
  });
  return counters as T;
}
