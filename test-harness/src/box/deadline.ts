import type { BoxError } from './errors.ts';

/**
 * Waits for a promise, but not for ever.
 *
 * @param work - what to wait for; it goes on when the time is over
 * @param timeoutMs - how long
 * @param onTimeout - makes the error
 */
export async function within<T>(
  work: Promise<T>,
  timeoutMs: number,
  onTimeout: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(onTimeout()), timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise with its handles outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** `Promise.withResolvers`, which Node 20 lacks; a rejection nobody waits for is no crash. */
export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/** Result of a command inside the box. */
export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/**
 * Result of a command that has to succeed.
 *
 * @param makeError - makes the error from a message
 * @returns its stdout
 * @throws {BoxError} `COMMAND_FAILED` with all that it printed
 */
export function mustSucceed(
  where: string,
  command: string,
  result: ExecResult,
  makeError: (code: 'COMMAND_FAILED', message: string) => BoxError,
): string {
  const { code, stdout, stderr } = result;
  if (code === 0) return stdout;
  const printed = [stdout, stderr].map((text) => text.trimEnd()).filter(Boolean);
  const message = `Cannot run \`${command}\` in ${where}: exit code ${code}`;
  throw makeError('COMMAND_FAILED', [message, ...printed].join('\n'));
}
