import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';

const MAX_BYTES = 16 * 1024;

/** The last `lines` lines of a file; an empty string when it cannot be read. */
export function tailOf(path: string, lines = 30): string {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(fd);
    const length = Math.min(size, MAX_BYTES);
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, size - length);
    return bytes
      .toString('utf8')
      .replaceAll('\r', '')
      .trimEnd()
      .split('\n')
      .slice(-lines)
      .join('\n');
  } finally {
    closeSync(fd);
  }
}

/** Titled tails of several logs for an error message; logs that are empty are left out. */
export function tailsOf(paths: readonly string[], lines = 30): string {
  return paths
    .map((path) => ({ path, text: tailOf(path, lines) }))
    .filter(({ text }) => text !== '')
    .map(({ path, text }) => `--- end of ${basename(path)} (${path}) ---\n${text}`)
    .join('\n');
}
