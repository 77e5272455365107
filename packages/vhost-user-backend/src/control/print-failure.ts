import type { VhostUserBackendError } from '../errors.ts';

/** Control characters but tab and line feed: a guest may have chosen some of the text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/**
 * Says on standard error which device has failed, and where in its code: for an application that has
 * neither a logger nor a listener.
 */
export function printFailure(error: VhostUserBackendError): void {
  const stack = error.cause instanceof Error ? `\n${error.cause.stack}` : '';
  const text = `${error.message}${stack}`.replace(
    CONTROL,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  // biome-ignore lint/suspicious/noConsole: alone ignores a standard error that is closed or full
  console.error('%s', text);
}
