import type { ChainBatch } from '@node-vmm/vhost-user-backend';

/** Pieces of guest memory, as a batch has them. */
export type Segments = ChainBatch['segments'];

/**
 * Called with what the source gave, which may be less than was asked for: none where it has none at the
 * moment. With an error, which the source may recover from, there is none either. The bytes are valid
 * within the call.
 */
export type EntropyRead = (bytes: Uint8Array, error?: Error) => void;

/** Where random bytes come from: the kernel, a file, a device. */
export interface EntropySource extends Disposable {
  /** Most bytes that one `read` gives. */
  readonly most: number;
  /**
   * Fills `count` pieces of guest memory from `first` on, whole and at once. Only a source that always
   * has enough, and never lets its caller wait, has it.
   *
   * @throws {SysError} EFAULT where the memory is not there any more
   */
  fill?(segments: Segments, first: number, count: number): void;
  /**
   * Asks for random bytes; the next time only after the answer.
   *
   * @param bytes - most that the caller has use for, >= 1
   * @param done - called within this call or later, on the same thread; not after the disposal
   */
  read(bytes: number, done: EntropyRead): void;
  /** Takes back what the last `read` gave and nobody has seen: it is given to whoever asks next. */
  unread(bytes: Uint8Array): void;
}
