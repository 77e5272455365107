import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Arguments, parseArguments, usageText } from '../../src/args.ts';
import { BridgeError } from '../../src/errors.ts';
import { TempDir } from '../support.ts';

let dir: TempDir;
beforeEach(() => {
  dir = new TempDir();
});
afterEach(() => dir[Symbol.dispose]());

function run(...argv: string[]): Arguments {
  const parsed = parseArguments(argv);
  if ('run' in parsed) return parsed.run;
  throw new Error(`expected a run, got text: ${parsed.print}`);
}

function refusal(...argv: string[]): string {
  try {
    parseArguments(argv);
  } catch (error) {
    if (BridgeError.is(error) && error.code === 'USAGE') return error.message;
    throw error;
  }
  throw new Error(`expected a refusal of ${argv.join(' ')}`);
}

describe('parseArguments', () => {
  it('reads the original command line', () => {
    const path = dir.join('vi2c.sock0');
    expect(run('--socket-path', path, '--name', 'i2c')).toEqual({
      directory: undefined,
      sockets: new Map([['i2c', path]]),
      spawn: new Map(),
      notification: 'auto',
      xenstore: undefined,
      logLevel: 'info',
    });
    expect(run('-s', path, '-n', 'i2c', '-f').sockets).toEqual(new Map([['i2c', path]]));
  });

  it('takes a socket that exists already', () => {
    const path = dir.join('vi2c.sock0');
    writeFileSync(path, '');
    expect(run('-s', path, '-n', 'i2c').sockets.get('i2c')).toBe(path);
  });

  it('pairs several sockets with several names, beside a directory', () => {
    const [i2c, rng] = [dir.join('a'), dir.join('b')];
    const parsed = run('-s', i2c, '-n', 'i2c', '-s', rng, '-n', 'rng', '-s', dir.path);
    expect(parsed.sockets).toEqual(
      new Map([
        ['i2c', i2c],
        ['rng', rng],
      ]),
    );
    expect(parsed.directory).toBe(dir.path);
  });

  it('reads a directory alone', () => {
    const { directory, sockets } = run('--socket-path', dir.path);
    expect(directory).toBe(dir.path);
    expect(sockets.size).toBe(0);
  });

  it('reads commands, with = in them', () => {
    const { spawn } = run('--spawn', 'i2c=daemon --list=0:0x20', '--spawn', 'rng=other');
    expect(spawn).toEqual(
      new Map([
        ['i2c', 'daemon --list=0:0x20'],
        ['rng', 'other'],
      ]),
    );
  });

  it('reads the settings', () => {
    const settings = ['--notification', 'user', '--xenstore', '/x', '--log-level', 'debug'];
    expect(run('-s', dir.path, ...settings)).toMatchObject({
      notification: 'user',
      xenstore: '/x',
      logLevel: 'debug',
    });
  });

  it('prints help and version', () => {
    expect(parseArguments(['--help'])).toEqual({ print: expect.stringContaining('Examples:') });
    expect(parseArguments(['-V'])).toEqual({ print: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(usageText()).toContain('--socket-path');
  });

  it('says where back-ends may be when there are none', () => {
    expect(refusal()).toMatch(/--socket-path with --name, a directory, or --spawn/);
    expect(refusal('--notification', 'user')).toMatch(/--spawn/);
  });

  it('refuses a socket without name and a name without socket', () => {
    const path = dir.join('x');
    expect(refusal('-s', path)).toContain(`1 of the one (${path}), 0 of the other`);
    expect(refusal('-n', 'i2c')).toContain('0 of the one (none), 1 of the other');
    expect(refusal('-s', dir.path, '-n', 'i2c')).toContain('needs a --name and the reverse');
  });

  it('names the device types when one is unknown', () => {
    expect(refusal('-s', dir.join('x'), '-n', 'i3c')).toMatch(/--name i3c .* those are: .*i2c/);
    expect(refusal('--spawn', 'i3c=x')).toMatch(/--spawn i3c .* those are: .*i2c/);
  });

  it('points to a directory when a name comes twice', () => {
    const argv = ['-s', dir.join('a'), '-n', 'i2c', '-s', dir.join('b'), '-n', 'i2c'];
    expect(refusal(...argv)).toMatch(/--name i2c was given twice; use a directory/);
  });

  it('refuses two directories', () => {
    expect(refusal('-s', dir.path, '-s', '/')).toContain('one is enough');
  });

  it('asks to create the directory of a socket', () => {
    const gone = dir.join('gone');
    rmSync(gone, { force: true });
    expect(existsSync(gone)).toBe(false);
    expect(refusal('-s', `${gone}/sock`, '-n', 'i2c')).toContain(`create ${gone}`);
  });

  it.each(['i2c', '=command', 'i2c=', 'i2c=  '])('says how --spawn goes for "%s"', (item) => {
    expect(refusal('--spawn', item)).toMatch(/--spawn expects <name>=<command>/);
  });

  it('refuses two commands for a type', () => {
    expect(refusal('--spawn', 'i2c=a', '--spawn', 'i2c=b')).toContain(
      '--spawn i2c was given twice',
    );
  });

  it('refuses what commander does not know', () => {
    expect(refusal('-s', dir.path, '--notification', 'fast')).toMatch(/auto, kernel, user/);
    expect(refusal('-s', dir.path, '--log-level', 'loud')).toMatch(/debug, info, warn/);
    expect(refusal('-s', dir.path, '--frobnicate')).toContain("unknown option '--frobnicate'");
    expect(refusal('-s', dir.path, 'more')).toMatch(/too many arguments/);
    expect(refusal('-s')).toMatch(/argument missing/);
  });
});
