import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeData,
  encodeFrame,
  FrameReader,
  FrameType,
  MAX_PAYLOAD,
} from '../src/box/agent/frames.ts';

describe('frames', () => {
  it('come out as they went in, however the stream is cut', () => {
    const frame = fc.record({
      channel: fc.nat(0xffff_ffff),
      type: fc.constantFrom(...Object.values(FrameType)),
      payload: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    });
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 10 }),
        fc.integer({ min: 1, max: 50 }),
        (frames, cut) => {
          const stream = Buffer.concat(
            frames.map(({ channel, type, payload }) => encodeFrame(channel, type, payload)),
          );
          const reader = new FrameReader();
          const seen = [];
          for (let at = 0; at < stream.length; at += cut) {
            seen.push(...reader.push(stream.subarray(at, at + cut)));
          }
          expect(seen).toEqual(frames);
        },
      ),
    );
  });

  it('split long data', () => {
    const data = Buffer.alloc(2 * MAX_PAYLOAD + 1, 7);
    const frames = new FrameReader().push(Buffer.concat(encodeData(1, FrameType.DATA, data)));
    expect(frames.map(({ payload }) => payload.length)).toEqual([MAX_PAYLOAD, MAX_PAYLOAD, 1]);
    expect(Buffer.concat(frames.map(({ payload }) => payload))).toEqual(data);
  });

  it('are refused when the stream is out of step', () => {
    expect(() => new FrameReader().push(Buffer.alloc(9, 0xff))).toThrow(RangeError);
  });
});
