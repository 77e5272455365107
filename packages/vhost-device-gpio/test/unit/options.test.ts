import { expect, it } from 'vitest';
import { parseOptions } from '../../src/options.ts';

it('reads the options of the device', () => {
  expect(parseOptions(['-s', '/run/x.sock'])).toMatchObject({
    run: { socketPath: '/run/x.sock', socketCount: 1, maxBytes: 65_536 },
  });
  expect(parseOptions(['-s', 'x', '--max-bytes', '64'])).toMatchObject({ run: { maxBytes: 64 } });
});

it.each([
  ['nothing', '0'],
  ['too much', '65537'],
  ['no number', 'all'],
])('refuses %s for --max-bytes', (_, value) => {
  expect(() => parseOptions(['-s', 'x', '--max-bytes', value])).toThrow(/max-bytes.*1 to 65536/s);
});
