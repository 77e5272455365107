import { sys } from './libc.ts';

/**
 * Ends the process without waiting for anybody: `process.exit` joins threads, and one that is in a
 * system call that does not return, or in JavaScript for ever, would keep it. Nothing is called on the
 * way out; what must be done is done before.
 *
 * @param status - 0 to 255
 */
export function exitNow(status: number): never {
  sys.exit(status);
  throw new Error('Cannot be: _exit returned');
}
