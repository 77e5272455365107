import { expect, it } from 'vitest';
import { parseOptions } from '../../src/options.ts';

it('goes without options of the device', () => {
  const { run } = parseOptions(['-s', '/run/x.sock']) as { run: object };
  expect(run).toMatchObject({ socketPath: '/run/x.sock', socketCount: 1 });
  expect(run).toMatchObject({ rngSource: 'getrandom', period: 65_536 });
  expect(run).not.toHaveProperty('maxBytes');
});

it.each([
  [['-f', '/dev/hwrng', '-p', '1000', '-m', '64']],
  [['--rng-source', '/dev/hwrng', '--period', '1000', '--max-bytes', '64']],
])('reads %j', (argv) => {
  expect(parseOptions(['-s', 'x', ...argv])).toMatchObject({
    run: { rngSource: '/dev/hwrng', period: 1000, maxBytes: 64 },
  });
});

it.each([
  ['--max-bytes', '0'],
  ['--max-bytes', '-1'],
  ['--max-bytes', 'all'],
  ['--max-bytes', '9007199254740992'],
  ['--period', '0'],
  ['--period', '65537'],
  ['--period', '1.5'],
])('refuses %s %s', (option, value) => {
  expect(() => parseOptions(['-s', 'x', option, value])).toThrow(
    new RegExp(`${option}.*Expected a number of 1 to`, 's'),
  );
});
