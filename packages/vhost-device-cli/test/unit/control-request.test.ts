import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ControlError } from '../../src/control/error.ts';
import { LINE_MAX, LineReader } from '../../src/control/lines.ts';
import { parseRequest, requestLine } from '../../src/control/request.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('A request', () => {
  it.each([
    ['state', undefined, ['state']],
    ['  line\t3   pulse ', undefined, ['line', '3', 'pulse']],
    ['@gpio0 line 3', 'gpio0', ['line', '3']],
    ['state\r', undefined, ['state']],
    ['say @gpio0 ü', undefined, ['say', '@gpio0', 'ü']],
    ['@ state', '', ['state']],
  ])('"%s" is of device %s and has words %j', (line, device, words) => {
    expect(parseRequest(encode(line))).toEqual({ device, words });
  });

  it.each([
    ['nothing', encode('')],
    ['blanks', encode(' \t ')],
    ['a device and no words', encode('@gpio0')],
    ['a NUL', encode('a\0b')],
    ['an escape', encode('\x1b[2J')],
    ['a control character of Latin-1', encode('\u009b2J')],
    ['what is no UTF-8', Uint8Array.of(0x61, 0xff, 0xfe)],
    ['half a character', Uint8Array.of(0xc3)],
  ])('of %s is none', (_, line) => {
    expect(() => parseRequest(line)).toThrow(ControlError);
    expect(() => parseRequest(line)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  it('of any bytes is one or is refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          const { words } = parseRequest(bytes);
          expect(words.length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toMatchObject({ code: 'USAGE' });
        }
      }),
    );
  });

  it('is what a client says', () => {
    const word = fc
      .string({ minLength: 1, unit: 'grapheme' })
      .filter((text) => !/[\s\p{Cc}]/u.test(text));
    const words = fc
      .array(word, { minLength: 1 })
      .filter(([first]) => first?.startsWith('@') !== true);
    fc.assert(
      fc.property(words, fc.option(word), (said, device) => {
        const target = device ?? undefined;
        const line = encode(requestLine(said, target));
        expect(line.at(-1)).toBe(0x0a);
        expect(parseRequest(line.subarray(0, -1))).toEqual({ device: target, words: said });
      }),
    );
  });

  it.each([[['']], [['a b']], [['a\nb']], [['a\0']], [['a\u2028b']]])(
    'has no word in %j',
    (words) => {
      expect(() => requestLine(words)).toThrow(ControlError);
    },
  );
});

describe('Lines', () => {
  it('are cut wherever the pieces end', () => {
    const text = 'a\n\nlonger line\nü\n';
    const bytes = encode(text);
    for (let size = 1; size <= bytes.length; size++) {
      const reader = new LineReader();
      const lines: string[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        reader.push(bytes.slice(at, at + size));
        for (let line = reader.next(); line !== undefined; line = reader.next()) {
          lines.push(new TextDecoder().decode(line));
        }
      }
      expect(lines).toEqual(['a', '', 'longer line', 'ü']);
    }
  });

  it('may be 4096 bytes and no more, with and without an end', () => {
    const reader = new LineReader();
    reader.push(new Uint8Array(LINE_MAX).fill(0x61));
    expect(reader.next()).toBeUndefined();
    reader.push(encode('\n'));
    expect(reader.next()).toHaveLength(LINE_MAX);
    reader.push(new Uint8Array(LINE_MAX + 1).fill(0x61));
    expect(() => reader.next()).toThrow(RangeError);
    const whole = new LineReader();
    whole.push(encode(`${'a'.repeat(LINE_MAX + 1)}\n`));
    expect(() => whole.next()).toThrow(RangeError);
  });
});
