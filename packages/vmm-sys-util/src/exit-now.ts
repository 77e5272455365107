import { sys } from './libc.ts';

/**
 * Ends the process at once, whatever its threads are doing: no `exit` listener runs, and no thread is
 * waited for. For a process that `process.exit` would leave hanging, because a thread is in a system
 * call that nothing ends.
 *
 * @param status - exit status, 0..255
 */
export function exitNow(status: number): never {
  sys.exit(status);
  throw new Error('unreachable');
}

/**
 * Ends the process by SIGALRM unless it has ended by then: for an `exit` listener that knows of a thread
 * which may never end, and which Node would wait for.
 *
 * @param seconds - at least 1
 */
export function exitWithin(seconds: number): void {
  sys.alarm(Math.max(1, Math.ceil(seconds)));
}
