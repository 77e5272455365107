import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import type { DaemonOptions } from '../../src/daemon-options.ts';
import {
  addDaemonOptions,
  daemonOptions,
  parseCommandLine,
  type RawDaemonOptions,
} from '../../src/options.ts';

function parse(argv: readonly string[], env: NodeJS.ProcessEnv = {}): DaemonOptions | string {
  const command = addDaemonOptions(new Command('vhost-device-foo'));
  const parsed = parseCommandLine<RawDaemonOptions>(command, argv);
  return 'print' in parsed ? parsed.print : daemonOptions(parsed.options, env);
}

const activated = (count: number): NodeJS.ProcessEnv => ({
  LISTEN_PID: String(process.pid),
  LISTEN_FDS: String(count),
  LISTEN_FDNAMES: 'a:b',
});

describe('where the sockets are', () => {
  it('is the path itself, or what follows it with a number', () => {
    expect(parse(['-s', '/x'])).toMatchObject({ socketPath: '/x', socketCount: 1 });
    expect(parse(['-s', '/x'])).not.toHaveProperty('numberedSockets');
    for (const argv of [
      ['-s', '/x', '-c', '1'],
      ['--socket-path=/x', '--socket-count=1'],
    ]) {
      expect(parse(argv)).toMatchObject({
        socketPath: '/x',
        socketCount: 1,
        numberedSockets: true,
      });
    }
  });

  it('is a descriptor, or those of the service manager', () => {
    expect(parse(['--fd', '7'])).toMatchObject({
      socketCount: 1,
      passedSockets: [{ fd: 7, name: '--fd 7' }],
    });
    const passedSockets = [
      { fd: 3, name: 'a' },
      { fd: 4, name: 'b' },
    ];
    expect(parse([], activated(2))).toMatchObject({ socketCount: 2, passedSockets });
    expect(parse(['-c', '2'], activated(2))).toMatchObject({ socketCount: 2, passedSockets });
  });

  it.each([
    ['nowhere', [], {}, "'-s, --socket-path <path>' not specified"],
    ['an empty path', ['-s', ''], {}, 'empty --socket-path'],
    ['two places', ['-s', '/x', '--fd', '3'], {}, /--fd.*cannot be used with.*--socket-path/],
    ['a count of one', ['--fd', '3', '-c', '1'], {}, /--fd.*cannot be used with.*--socket-count/],
    ['permissions', ['--fd', '3', '--socket-mode', '600'], {}, /cannot be used with/],
    ['standard error', ['--fd', '2'], {}, '3 or more'],
    ['no descriptor', ['--fd', 'x'], {}, '3 or more'],
    ['a path besides', ['-s', '/x'], activated(1), 'Cannot use --socket-path: the service manager'],
    ['a mode besides', ['--socket-mode', '600'], activated(1), 'Cannot use --socket-mode'],
    ['another count', ['-c', '3'], activated(2), 'has opened 2 sockets'],
    ['too many', [], activated(257), 'over 256 sockets'],
  ])('is not %s', (_name, argv, env, text) => {
    expect(() => parse(argv, env)).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message:
          typeof text === 'string' ? expect.stringContaining(text) : expect.stringMatching(text),
      }),
    );
  });
});

describe('threads', () => {
  it('are as many as the queues of a guest are spread over', () => {
    expect(parse(['-s', '/x'])).toMatchObject({ workers: 1 });
    expect(parse(['-s', '/x', '--queue-workers', '3'])).toMatchObject({
      workers: 3,
      queueWorkers: 3,
    });
    const fewer = ['-s', '/x', '--queue-workers', '3', '--workers', '4'];
    expect(parse(fewer)).toMatchObject({ workers: 4, queueWorkers: 3 });
    const more = ['-s', '/x', '--queue-workers', '3', '--workers', '2'];
    expect(() => parse(more)).toThrow(/3 --queue-workers of 2 --workers/);
  });
});

describe('--print-capabilities', () => {
  it('is all that is done, whatever else is there', () => {
    const printed = `${JSON.stringify({ type: 'foo', features: [] })}\n`;
    expect(parse(['--print-capabilities'])).toBe(printed);
    expect(parse(['--no-such', '-s', '--print-capabilities', '--help', 'operand'])).toBe(printed);
  });

  it('says what the program has to say', () => {
    const capabilities = { type: 'input', features: ['no-grab'] };
    const command = addDaemonOptions(new Command('vhost-device-x'), capabilities);
    expect(parseCommandLine(command, ['--print-capabilities'])).toEqual({
      print: `${JSON.stringify(capabilities)}\n`,
    });
  });

  it('is an unknown option of a program that is no back-end', () => {
    expect(() => parseCommandLine(new Command('x'), ['--print-capabilities'])).toThrow(
      /unknown option/,
    );
  });
});

describe('memory of a Xen domain that stays mapped', () => {
  it('is as much as the option says', () => {
    for (const [text, foreignLimit] of [
      ['2M', 2 * 2 ** 20],
      ['2097152', 2 * 2 ** 20],
      ['3000K', 3000 * 1024],
      ['1024G', 2 ** 40],
    ] as const) {
      expect(parse(['-s', '/x', '--foreign-limit', text])).toMatchObject({ foreignLimit });
    }
    expect(parse(['-s', '/x'])).not.toHaveProperty('foreignLimit');
  });

  it.each([
    '',
    '0',
    '1M',
    '2097151',
    '1025G',
    '16m',
    '16MB',
    '-16M',
    '1.5G',
    '0x1000000',
    '9'.repeat(400),
  ])('refuses %s', (text) => {
    expect(() => parse(['-s', '/x', `--foreign-limit=${text}`])).toThrow(
      expect.objectContaining({ code: 'USAGE' }),
    );
  });
});
