import { Command } from 'commander';
import { expect, it } from 'vitest';
import { addDaemonOptions, listOf, parseCommandLine } from '../../src/options.ts';

function daemon(): Command {
  return addDaemonOptions(new Command('vhost-device-foo'))
    .option('-l, --device-list <list>', 'devices', listOf(','))
    .option('-f, --fast', 'no value')
    .version('1.0.0', '-V, --version');
}

function words(): Command {
  return new Command('ctl').argument('<socket>').argument('<words...>').passThroughOptions();
}

const parse = (argv: readonly string[], command = daemon()): Record<string, unknown> => {
  const parsed = parseCommandLine<Record<string, unknown>>(command, argv);
  return 'print' in parsed ? { print: parsed.print } : parsed.options;
};

it('adds up what a list is given in parts', () => {
  expect(parse(['-l', 'a', '--device-list=b,c', '-ld'])).toMatchObject({ deviceList: 'a,b,c,d' });
});

it.each([
  [
    'a mistyped one',
    ['--socket-pth', '/x'],
    /^unknown option '--socket-pth' \(Did.*--socket-path\?\)/,
  ],
  ['with its value', ['--devicelist=x'], /^unknown option '--devicelist'.*--device-list\?\)$/],
  ['before a conflict', ['-s', '/x', '--fd', '3', '--nonsense'], /^unknown option '--nonsense'$/],
  ['before a wrong value', ['-c', 'many', '--nonsense'], /^unknown option '--nonsense'$/],
  [
    'a beginning',
    ['--queue', '2'],
    /^unknown option '--queue' \(Did you mean --queue-workers\?\)$/,
  ],
  ['of several', ['--sock'], /Did you mean one of --socket-path, --socket-count, --socket-mode/],
  ['a short one', ['-x'], /^unknown option '-x'$/],
  ['among short ones', ['-fx'], /^unknown option '-x'$/],
  [
    'with a dash too few',
    ['-socket-path', '/x'],
    /^unknown option '-socket-path' \(Did you mean --so/,
  ],
  ['hidden ones not guessed', ['--supervised-bi'], /^(?!.*supervised-by)unknown option/],
])('names an option that does not exist: %s', (_name, argv, text) => {
  expect(() => parse(argv)).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(text) }),
  );
});

it.each([
  [
    'a known option',
    ['-l', '--socket-path', '/x'],
    /device-list.*missing: '--socket-path' follows/,
  ],
  [
    'a short one',
    ['-l', '-f'],
    /missing: '-f' follows, which is an option; write --device-list=-f/,
  ],
  ['a mistyped option', ['-s', '--socket-cuont', '3'], /missing: '--socket-cuont' follows/],
  ['nothing', ['-l'], /'-l, --device-list <list>' argument missing/],
  ['an empty path', ['--socket-path='], /empty --socket-path/],
  ['an empty path behind the letter', ['-s', ''], /empty --socket-path/],
  ['bytes that are not UTF-8', ['-s', '/x\u{fffd}'], /--socket-path '\/x.'.*not UTF-8/],
  ['such a list', ['-l\u{fffd}'], /--device-list '.'.*not UTF-8/],
])('takes for no value: %s', (_name, argv, text) => {
  expect(() => parse(argv)).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(text) }),
  );
});

it('takes what looks like an option where = says that it is meant', () => {
  expect(parse(['--device-list=--socket-path', '-s=-x', '-l-f'])).toMatchObject({
    deviceList: '--socket-path,-f',
  });
  expect(parse(['-l', '-5'])).toMatchObject({ deviceList: '-5' });
});

it('names arguments that are too many', () => {
  expect(() => parse(['-s', '/x', 'one', '--fast', 'two'])).toThrow(
    /^too many arguments: 'one', 'two'$/,
  );
  expect(() => parse([...'abcdefgh'])).toThrow(/: 'a', 'b', 'c', 'd', 'e' and 3 more$/);
  expect(() => parse(['--', '--help'])).toThrow(/^too many arguments: '--help'$/);
  expect(() => parse(['on\u{fffd}e'])).toThrow(/argument 'on.e'.*not UTF-8/);
});

it('tells version and usage whatever else is wrong', () => {
  expect(parse(['--nonsense', '--version'])).toEqual({ print: '1.0.0\n' });
  expect(parse(['-fV'])).toEqual({ print: '1.0.0\n' });
  expect(parse(['--nonsense', '-h'])['print']).toContain('Usage: vhost-device-foo');
});

it('leaves alone what follows the first argument of a command that has some', () => {
  const command = words();
  parse(['/x', '--temperature', '-5', '@'], command);
  expect(command.args).toEqual(['/x', '--temperature', '-5', '@']);
  expect(() => parse(['--temperature', '/x'], words())).toThrow(/^unknown option '--temperature'$/);
});
