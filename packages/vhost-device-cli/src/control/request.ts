import { ControlError } from './error.ts';

/** A line of a client: `[@device ]word word...`. */
export interface ControlRequest {
  readonly device: string | undefined;
  /** One or more. */
  readonly words: readonly string[];
}

/** What no word has. */
const CONTROL = /\p{Cc}/u;

/**
 * Reads a request. Words are what stands between blanks; there is no quoting.
 *
 * @param line - UTF-8 without its end
 * @throws {ControlError} USAGE
 */
export function parseRequest(line: Uint8Array): ControlRequest {
  const words = decode(line)
    .replace(/\r$/, '')
    .split(/[ \t]+/)
    .filter((word) => word !== '');
  if (words.some((word) => CONTROL.test(word))) throw usage('it has control characters');
  const device = words[0]?.startsWith('@') === true ? words.shift()?.slice(1) : undefined;
  if (words.length === 0) throw usage('it has no words; say [@<device>] <word>...');
  return { device, words };
}

/**
 * The line of a request.
 *
 * @throws {ControlError} USAGE when a word cannot be one
 */
export function requestLine(words: readonly string[], device?: string): string {
  const all = device === undefined ? words : [`@${device}`, ...words];
  for (const word of all) {
    if (word === '' || /\s/.test(word) || CONTROL.test(word)) {
      throw usage(
        `${JSON.stringify(word)} is no word: there are no blanks or control characters in one`,
      );
    }
  }
  return `${all.join(' ')}\n`;
}

function decode(line: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line);
  } catch {
    throw usage('it is no UTF-8');
  }
}

function usage(why: string): ControlError {
  return new ControlError('USAGE', `Cannot read the request: ${why}`);
}
