import { describe, expect, it } from 'vitest';
import { disarm } from '../../src/terminal-text.ts';

describe('disarm', () => {
  it.each([
    ['escape', '\u001b[2J', '\\u001b[2J'],
    ['bell and return', '\u0007\r', '\\u0007\\r'],
    ['delete and C1', '\u007f\u009b', '\\u007f\\u009b'],
    ['a backslash before what looks like an escape', '\\u001b', '\\u001b'],
    ['a backslash before a control character', '\\\u001b', '\\\\u001b'],
    ['tab and line feed', 'a\tb\nc', 'a\tb\nc'],
    ['text of any script', 'größe 字', 'größe 字'],
  ])('%s', (_, text, shown) => {
    expect(JSON.parse(disarm(JSON.stringify({ text })))).toEqual({ text: shown });
  });
});
