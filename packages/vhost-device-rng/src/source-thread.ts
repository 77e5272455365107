// The module that the thread of a source loads: see `createHost`.
import { readSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { CreateHost, Host } from '@node-vmm/vhost-user-backend';
import { errorCode } from '@node-vmm/vmm-sys-util';
import { RngError } from './errors.ts';
import type { RngSource } from './open-source.ts';

/** Ours: most bytes of an answer. */
export const SOURCE_READ_MAX = 0x1_0000;

/**
 * How long an answer may wait for bytes, milliseconds: devices on one source take turns, and whoever has
 * gone must not have the others wait.
 */
const PATIENCE_MS = 200;
/** Pauses between two looks at a source that has nothing: many of them cannot be polled. */
const LONGEST_PAUSE_MS = 50;

/** Options of the thread. */
export type SourceThreadOptions = Extract<RngSource, { kind: 'file' }>;

/** What a device asks of it. */
export interface SourceRequest {
  /** 1..{@link SOURCE_READ_MAX}. */
  readonly bytes: number;
}

/** A source that may let its reader wait: a disk, a slow device, a FIFO. */
class SourceHost implements Host {
  readonly #options: SourceThreadOptions;
  readonly #buffer = new Uint8Array(SOURCE_READ_MAX);

  constructor(options: SourceThreadOptions) {
    this.#options = options;
  }

  /**
   * @returns what there is, at most as many bytes as were asked for; none when nothing came in time
   * @throws {RngError} SOURCE_ENDED
   * @throws Node's own error with `code`
   */
  async answer(request: unknown): Promise<Uint8Array> {
    const { bytes } = request as SourceRequest;
    const { path, ends } = this.#options;
    let waited = 0;
    for (let pause = 1; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const read = this.#read(bytes);
      if (read > 0) return this.#buffer.slice(0, read);
      if (read === 0 && ends) {
        throw new RngError('SOURCE_ENDED', `Cannot read ${path}: it has been read to its end`, {
          path,
        });
      }
      if (waited >= PATIENCE_MS) return new Uint8Array();
      await setTimeout(pause);
      waited += pause;
    }
  }

  /** @returns bytes read, 0 at the end, -1 when there are none now */
  #read(bytes: number): number {
    try {
      return readSync(this.#options.fd, this.#buffer, 0, bytes, null);
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') throw error;
      return -1;
    }
  }

  /** The descriptor is the process's. */
  [Symbol.dispose](): void {}
}

/** Makes the host of a source, in the thread that all devices on it share. */
export const createHost: CreateHost<SourceThreadOptions> = (options) => new SourceHost(options);
