declare const brand: unique symbol;

/**
 * A primitive that only its minting function produces: a plain `bigint` or `number` at run time,
 * a type of its own to the compiler, so that a guest address is never taken for a host pointer.
 */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** An open file descriptor of this process. */
export type Fd = Brand<number, 'Fd'>;

/** An address in this process's own address space. Only this package mints it. */
export type HostPointer = Brand<bigint, 'HostPointer'>;

/**
 * Marks a number as a file descriptor.
 *
 * @param fd - descriptor number, >= 0
 * @throws {RangeError} when `fd` is no non-negative integer
 */
export function asFd(fd: number): Fd {
  if (!Number.isInteger(fd) || fd < 0) {
    throw new RangeError(`"fd" expected a non-negative integer, got ${fd}`);
  }
  return fd as Fd;
}
