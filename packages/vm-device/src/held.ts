/** What the answer to a guest's access waits for, see {@link whenOver}. */
export type Held = PromiseLike<unknown> | Completion;

interface Listener {
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Something that is over once, for threads whose event loop knows no promises: who waits is called in
 * the moment in which it is over.
 */
export class Completion {
  #over = false;
  #failure: { readonly error: unknown } | undefined;
  #listeners: Listener[] = [];

  get over(): boolean {
    return this.#over;
  }

  /** It is done. Only the first of `complete` and `fail` counts. */
  complete(): void {
    for (const { done } of this.#end()) done();
  }

  /** It is over and went wrong. */
  fail(error: unknown): void {
    const listeners = this.#end({ error });
    for (const { failed } of listeners) failed(error);
  }

  #end(failure?: { readonly error: unknown }): Listener[] {
    if (this.#over) return [];
    this.#over = true;
    this.#failure = failure;
    const listeners = this.#listeners;
    this.#listeners = [];
    return listeners;
  }

  /** Calls one of the two when it is over, at once if it is; they must not throw. */
  whenOver(done: () => void, failed: (error: unknown) => void): void {
    if (!this.#over) this.#listeners.push({ done, failed });
    else if (this.#failure === undefined) done();
    else failed(this.#failure.error);
  }
}

/**
 * Calls one of the two when what is waited for is over; they must not throw. Of a {@link Completion} in that
 * moment, of a promise in a later turn.
 */
export function whenOver(held: Held, done: () => void, failed: (error: unknown) => void): void {
  if (held instanceof Completion) held.whenOver(done, failed);
  else held.then(done, failed);
}

/**
 * Does something that may have to be waited for, and calls one of the two when it is over: at once where there is
 * nothing to wait for, or it throws. They must not throw.
 */
export function carryOut(
  action: () => Held | undefined,
  done: () => void,
  failed: (error: unknown) => void,
): void {
  let held: Held | undefined;
  try {
    held = action();
  } catch (error) {
    failed(error);
    return;
  }
  if (held === undefined) done();
  else whenOver(held, done, failed);
}

/** What is over when both are, and has failed when one of them has. */
export function bothOver(first: Held, second: Held): Completion {
  const both = new Completion();
  const then = (): void =>
    whenOver(
      second,
      () => both.complete(),
      (error) => both.fail(error),
    );
  whenOver(first, then, (error) => {
    const failed = (): void => both.fail(error);
    whenOver(second, failed, failed);
  });
  return both;
}

/** For code on Node's event loop that awaits. */
export function heldPromise(held: Held | undefined): Promise<void> {
  if (held === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    whenOver(held, resolve, reject);
  });
}
