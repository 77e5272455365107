import { expect, it } from 'vitest';
import { jsonLine } from '../../src/terminal-json.ts';

it('means the same, and is nothing that a terminal obeys', () => {
  const answer = { text: 'a\u001b[2J\u0007\u007f\u009b31m\r\n字\\u009b' };
  const line = jsonLine(answer);
  expect(JSON.parse(line)).toEqual(answer);
  expect(line.endsWith('\n')).toBe(true);
  expect(line.slice(0, -1)).not.toMatch(/\p{Cc}/u);
});
