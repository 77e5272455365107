import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkPath,
  decodeStrings,
  encodeMessage,
  encodeStrings,
  type Message,
  MessageParser,
  XENSTORE_PAYLOAD_MAX,
  XenStoreError,
  XSD_SOCKMSG,
} from '../../src/index.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const message: fc.Arbitrary<Message> = fc.record({
  type: u32,
  requestId: u32,
  transactionId: u32,
  payload: fc.uint8Array({ maxLength: XENSTORE_PAYLOAD_MAX }),
});

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

describe('MessageParser', () => {
  it('gives back every message, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 8 }),
        (messages, cuts) => {
          const stream = concat(messages.map(encodeMessage));
          const parser = new MessageParser();
          const seen: Message[] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = cuts[i % cuts.length] as number;
            parser.push(stream.subarray(at, at + size), (one) => seen.push(one));
            at += size;
          }
          expect(seen).toEqual(messages);
          expect(parser.held).toBe(0);
        },
      ),
    );
  });

  it('takes any bytes: messages, or PROTOCOL, and never holds more than one message', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 30 }), (chunks) => {
        const parser = new MessageParser();
        try {
          for (const chunk of chunks) {
            parser.push(chunk, ({ payload }) => {
              expect(payload.length).toBeLessThanOrEqual(XENSTORE_PAYLOAD_MAX);
            });
            expect(parser.held).toBeLessThan(XSD_SOCKMSG.SIZE + XENSTORE_PAYLOAD_MAX);
          }
        } catch (error) {
          expect(XenStoreError.is(error) && error.code).toBe('PROTOCOL');
        }
      }),
    );
  });

  it('refuses a length over the limit as soon as the head is there', () => {
    fc.assert(
      fc.property(fc.integer({ min: XENSTORE_PAYLOAD_MAX + 1, max: 0xffff_ffff }), (len) => {
        const parser = new MessageParser();
        const head = XSD_SOCKMSG.encode({ type: 2, len });
        parser.push(head.subarray(0, 15), () => expect.unreachable());
        expect(() =>
          parser.push(concat([head.subarray(15), Uint8Array.of(0)]), () => undefined),
        ).toThrow(XenStoreError);
      }),
    );
  });
});

describe('payloads', () => {
  it('round-trips strings without zero bytes', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((s) => !s.includes('\0'));
    fc.assert(
      fc.property(fc.array(text), (strings) => {
        expect(decodeStrings(encodeStrings(...strings))).toEqual(strings);
      }),
    );
  });

  it('refuses to encode what is over the limit', () => {
    const payload = new Uint8Array(XENSTORE_PAYLOAD_MAX + 1);
    expect(() => encodeMessage({ type: 2, requestId: 1, transactionId: 0, payload })).toThrow(
      XenStoreError,
    );
  });
});

describe('checkPath', () => {
  it('never lets through what would be two strings on the wire', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'/ab-@_\0\n %') }), (path) => {
        try {
          checkPath(path, true);
        } catch {
          return;
        }
        expect(encodeStrings(path).indexOf(0)).toBe(path.length);
        expect(path).toMatch(/^[A-Za-z0-9\-/_@]+$/);
      }),
    );
  });
});
