/** How each of several things is made. */
type Makers<T extends Record<string, Disposable>> = { readonly [K in keyof T]: () => T[K] };

/**
 * Makes several things that have to be closed: all, or none is left.
 *
 * @param makers - called in their order
 * @throws what one of them throws, when those before are closed
 */
export function makeAll<T extends Record<string, Disposable>>(makers: Makers<T>): T {
  const made: Record<string, Disposable> = {};
  for (const [name, make] of Object.entries(makers) as [string, () => Disposable][]) {
    made[name] = orClose(made, make);
  }
  return made as T;
}

/**
 * Does what needs things that were made for it, and closes those where it fails.
 *
 * @param made - for the action, which owns them when it returns
 * @throws what the action throws
 */
export function orClose<R>(made: Readonly<Record<string, Disposable>>, action: () => R): R {
  try {
    return action();
  } catch (error) {
    for (const thing of Object.values(made)) thing[Symbol.dispose]();
    throw error;
  }
}
