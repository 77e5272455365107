/** The thread that counts: accessors on a prototype, so that counters of all guests are one shape to the engine. */
interface CounterClass {
  new (values: Float64Array): object;
}

const classes = new Map<string, CounterClass>();

function classOf(names: readonly PropertyKey[]): CounterClass {
  const key = names.join();
  const known = classes.get(key);
  if (known !== undefined) return known;
  class Counters {
    readonly values: Float64Array;

    constructor(values: Float64Array) {
      this.values = values;
    }
  }
  names.forEach((name, at) => {
    Object.defineProperty(Counters.prototype, name, {
      get(this: Counters) {
        return this.values[at];
      },
      set(this: Counters, value: number) {
        this.values[at] = value;
      },
    });
  });
  classes.set(key, Counters);
  return Counters;
}

/**
 * Counters whose values are in memory that another thread reads, for the thread that counts: many times for each
 * access, for many guests. They are no properties of the object itself, so a copy of it has none.
 *
 * @param names - in the same order in both threads
 */
export function countersIn<T extends object>(names: readonly (keyof T)[], values: Float64Array): T {
  return new (classOf(names))(values) as T;
}

/**
 * Counters that another thread counts, for whoever reads them or counts on when that thread has ended: an object
 * like any other, which has them as its own.
 *
 * @param names - in the same order in both threads
 */
export function countersOf<T extends object>(names: readonly (keyof T)[], values: Float64Array): T {
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
