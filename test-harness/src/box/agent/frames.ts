/**
 * The wire between the harness and its agent in dom0: frames on a byte stream, each belonging to a
 * channel. A channel is one request (run a command, write a file, read a file).
 *
 * Frame: u32 payload length, u32 channel, u8 type, payload; little-endian.
 */
export const FrameType = {
  /** Harness: begins a channel; payload is a JSON {@link Request}. */
  OPEN: 0,
  /** Harness: stdin of the command, content of the file. Agent: stdout, content of the file. */
  DATA: 1,
  /** Agent: stderr of the command. */
  ERROR_DATA: 2,
  /** Harness: end of its data. */
  END: 3,
  /** Harness: payload is the name of a signal for the command and what it started. */
  SIGNAL: 4,
  /** Agent: the channel is over; payload is a JSON {@link Result}. */
  CLOSE: 5,
} as const;

/** One of {@link FrameType}. */
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** What a channel is for. */
export type Request =
  | { readonly kind: 'exec'; readonly command: string; readonly env: Record<string, string> }
  | { readonly kind: 'put'; readonly path: string; readonly mode: number }
  | { readonly kind: 'get'; readonly path: string };

/** How a channel ended. `code` and `signal` belong to commands, `error` says what went wrong. */
export interface Result {
  readonly code: number;
  readonly signal?: string;
  readonly error?: string;
}

/** One frame. */
export interface Frame {
  readonly channel: number;
  readonly type: FrameType;
  readonly payload: Buffer;
}

const HEADER_LENGTH = 9;
/** Longest payload. Short enough that channels take turns. */
export const MAX_PAYLOAD = 32 * 1024;

/** Encodes one frame. */
export function encodeFrame(
  channel: number,
  type: FrameType,
  payload: Uint8Array | string,
): Buffer {
  const data = Buffer.from(payload as string);
  const header = Buffer.alloc(HEADER_LENGTH);
  header.writeUInt32LE(data.length, 0);
  header.writeUInt32LE(channel, 4);
  header.writeUInt8(type, 8);
  return Buffer.concat([header, data]);
}

/** Encodes data of any length as frames of one type. */
export function encodeData(channel: number, type: FrameType, data: Uint8Array): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < data.length; at += MAX_PAYLOAD) {
    frames.push(encodeFrame(channel, type, data.subarray(at, at + MAX_PAYLOAD)));
  }
  return frames;
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0);

  /**
   * Takes the next bytes of the stream.
   *
   * @returns the frames that are complete now
   * @throws {RangeError} when the stream is out of step
   */
  push(bytes: Uint8Array): Frame[] {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    const frames: Frame[] = [];
    while (this.#pending.length >= HEADER_LENGTH) {
      const length = this.#pending.readUInt32LE(0);
      const type = this.#pending.readUInt8(8);
      if (length > MAX_PAYLOAD || type > FrameType.CLOSE) {
        throw new RangeError(`Cannot read a frame: length ${length}, type ${type}`);
      }
      if (this.#pending.length < HEADER_LENGTH + length) break;
      frames.push({
        channel: this.#pending.readUInt32LE(4),
        type: type as FrameType,
        payload: this.#pending.subarray(HEADER_LENGTH, HEADER_LENGTH + length),
      });
      this.#pending = this.#pending.subarray(HEADER_LENGTH + length);
    }
    return frames;
  }
}
