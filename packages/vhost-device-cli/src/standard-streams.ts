// Nothing that the entry of a program loads imports node:process or, on Node 22 and later, node:util: see
// below.
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';

/** Writes text to a descriptor; must not throw. */
export type Say = (fd: number, text: string) => void;

/** What `process.stdout` or `process.stderr` is in a program of ours. */
class StandardStream extends Writable {
  readonly fd: number;
  readonly isTTY: boolean;
  readonly #say: Say;

  constructor(fd: number, say: Say) {
    super({ decodeStrings: false, defaultEncoding: 'utf8' });
    this.fd = fd;
    this.isTTY = isatty(fd);
    this.#say = say;
  }

  override _write(chunk: unknown, _encoding: string, done: () => void): void {
    this.#say(
      this.fd,
      typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString(),
    );
    done();
  }
}

/**
 * Takes the place of Node's own streams, before anything looks at them. Those make the open file
 * description of a pipe or socket non-blocking for everybody who shares it, such as a back-end that
 * inherits it, as soon as any module imports node:process, which reads each property of it; and they
 * end the process when their reader is gone.
 */
export function replaceStandardStreams(say: Say): void {
  for (const [index, name] of (['stdout', 'stderr'] as const).entries()) {
    const value = new StandardStream(index + 1, say);
    Object.defineProperty(process, name, { configurable: true, enumerable: true, value });
  }
}
