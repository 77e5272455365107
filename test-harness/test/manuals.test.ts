// Manual pages and completions: made of the table that --help is made of, shipped, and understood by who
// reads them.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { manualFiles } from '../../scripts/manuals.mjs';
import { workspacePackages } from '../../scripts/workspace.mjs';
import { type Program, programs } from './support/programs.ts';

const PATIENCE = { timeout: 120_000 };
const SHELLS = ['bash', 'zsh', 'fish'] as const;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'manuals-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function run(command: string, words: readonly string[], cwd?: string) {
  return spawnSync(command, words, { encoding: 'utf8', timeout: 60_000, cwd });
}

const printed = new Map<string, string>();

/** What a program prints, once for all tests. */
function print({ file }: Program, ...words: string[]): string {
  const key = [file, ...words].join(' ');
  const known = printed.get(key);
  if (known !== undefined) return known;
  const { status, stdout, stderr } = run(process.execPath, [file, ...words]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  printed.set(key, stdout);
  return stdout;
}

/** Writes a text to a file of its own. */
function stored(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

/** What --help shows of options: `-s` and `--socket-path`. */
function helped(program: Program): readonly string[] {
  const [, options = ''] = print(program, '--help').split('\nOptions:\n');
  const lines = [...options.matchAll(/^ {2}(-\w)?(?:, )?(--[a-z-]+)?/gm)];
  return lines.flatMap(([, short, long]) => [short, long]).filter((flag) => flag !== undefined);
}

const there = (command: string, ...words: string[]): boolean => run(command, words).status === 0;
const SHELL_CHECKS = {
  bash: { available: there('bash', '-c', 'true'), words: ['-n'] },
  zsh: { available: there('zsh', '-c', 'true'), words: ['-n'] },
  fish: { available: there('fish', '-c', 'true'), words: ['--no-execute'] },
};
const GROFF = there('groff', '--version');
const unless = (available: boolean, name: string): string =>
  available ? '' : ` (skipped, unavailable: no ${name})`;

describe.each(programs())('$name', PATIENCE, (program) => {
  const { name } = program;

  it('has every option in its manual page and in the completions of all shells', () => {
    const flags = helped(program);
    expect(flags).toEqual(expect.arrayContaining(['-h', '--help', '-V', '--version']));
    const page = print(program, '--print-man').replaceAll('\\-', '-');
    for (const flag of flags) expect(page).toContain(`\\fB${flag}\\fR`);
    const bash = print(program, '--print-completion', 'bash').split(/[\s|)']+/);
    for (const flag of flags) expect(bash).toContain(flag);
    const zsh = print(program, '--print-completion', 'zsh');
    for (const flag of flags) expect(zsh).toMatch(new RegExp(`[)*]${flag}[=+]?\\[`));
    const fish = print(program, '--print-completion', 'fish').split(/\s+/);
    for (const flag of flags) {
      const at = flag.startsWith('--') ? ['-l', flag.slice(2)] : ['-s', flag.slice(1)];
      expect(fish.join(' ')).toContain(` ${at.join(' ')} `);
    }
    // And none that --help does not show.
    const shown = [...page.matchAll(/\\fB(-[^\\]+)\\fR/g)].map(([, flag]) => flag);
    expect([...shown].sort()).toEqual([...flags].sort());
  });

  it.runIf(GROFF)(`has a manual page without a warning${unless(GROFF, 'groff')}`, () => {
    const file = stored(`${name}.1`, print(program, '--print-man'));
    const { status, stderr, stdout } = run('groff', ['-man', '-ww', '-Tascii', '-P-cbou', file]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const heading of ['NAME', 'SYNOPSIS', 'OPTIONS', 'EXIT STATUS']) {
      expect(stdout).toMatch(new RegExp(`^${heading}$`, 'm'));
    }
    expect(stdout).toContain(` ${name} - `);
  });

  for (const shell of SHELLS) {
    const { available, words } = SHELL_CHECKS[shell];
    it.runIf(available)(`has completions that ${shell} reads${unless(available, shell)}`, () => {
      const text = print(program, '--print-completion', shell);
      const { status, stderr } = run(shell, [...words, stored(`${name}.${shell}`, text)]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    });
  }

  it('knows no other shell', () => {
    const { status, stderr } = run(process.execPath, [program.file, '--print-completion', 'csh']);
    expect(status).toBe(2);
    expect(stderr).toBe(
      `${name}: --print-completion expects one of bash, zsh, fish; see ${name} --help\n`,
    );
  });
});

describe('in bash', PATIENCE, () => {
  /** What bash offers where the cursor is at the end of the last word. */
  function complete(name: string, ...words: string[]): readonly string[] {
    const program = programs().find((each) => each.name === name);
    if (program === undefined) throw new Error(`no ${name}`);
    const script = stored(`${name}.real`, print(program, '--print-completion', 'bash'));
    const lines = `
      source "$1"; shift
      [[ $(complete -p "$1") == "complete -F _$1 $1" ]] || exit 1
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
      "_$1"
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = run(
      'bash',
      ['-c', lines, 'bash', script, name, ...words],
      directory,
    );
    expect(stderr).toBe('');
    return stdout.split('\n').filter((word) => word !== '');
  }
  const bash = it.runIf(SHELL_CHECKS.bash.available);
  const reason = unless(SHELL_CHECKS.bash.available, 'bash');

  bash(`are the options that begin so${reason}`, () => {
    expect(complete('vhost-device-i2c', '--socket-')).toEqual([
      '--socket-path',
      '--socket-count',
      '--socket-mode',
      '--socket-group',
    ]);
    expect(complete('vhost-device-i2c', '')).toContain('--device-list');
    expect(complete('vhost-device-ctl', '/x', '--v')).toEqual(['--version']);
  });

  bash(`are the choices of a value, behind a blank or =${reason}`, () => {
    expect(complete('vhost-device-i2c', '--xen-mmap', 'o')).toEqual(['on', 'off']);
    expect(complete('vhost-device-i2c', '--xen-mmap', '=', 'a')).toEqual(['auto']);
    expect(complete('xen-vhost-master', '--notification', '=')).toEqual(['auto', 'kernel', 'user']);
    expect(complete('vhost-device-rng', '--socket-count', '')).toEqual([]);
  });

  bash(`are files, directories and users, as the value is${reason}`, () => {
    stored('a file', '');
    expect(complete('xen-vhost-master', '--config', 'a')).toEqual(['a file']);
    expect(complete('vhost-device-ctl', 'a')).toEqual(['a file']);
    expect(complete('vhost-device-gpio', '--state-dir', 'a')).toEqual([]);
    expect(complete('vhost-device-gpio', '--user', 'roo')).toContain('root');
    expect(complete('vhost-device-gpio', '--socket-group', 'roo')).toContain('root');
  });
});

describe.each(programs().filter(({ name }) => name !== 'demo'))(
  'the package of $name',
  PATIENCE,
  (program) => {
    it.each(Object.entries(manualFiles(program.name)))('ships what %s prints', (words, file) => {
      // `npm run manuals` writes it anew.
      expect(readFileSync(join(program.directory, file), 'utf8')).toBe(
        print(program, ...words.split(' ')),
      );
    });

    it('has them where npm takes them along', () => {
      const manifest = workspacePackages().find(
        ({ directory: at }) => at === program.directory,
      )?.manifest;
      expect(manifest?.['files']).toContain('share');
      expect(manifest?.['man']).toBe(`./share/man/man1/${program.name}.1`);
    });
  },
);

const FISH = SHELL_CHECKS.fish.available;
it.runIf(FISH)(`fish offers options and their values${unless(FISH, 'fish')}`, PATIENCE, () => {
  const program = programs().find(({ name }) => name === 'vhost-device-rng');
  if (program === undefined) throw new Error('no vhost-device-rng');
  const script = stored('rng.fish', print(program, '--print-completion', 'fish'));
  const complete = (line: string): readonly string[] => {
    const words = ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', script, line];
    const { status, stdout, stderr } = run('fish', words);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout.split('\n').map((offer) => offer.split('\t')[0] ?? '');
  };
  expect(complete('vhost-device-rng --socket-c')).toContain('--socket-count');
  expect(complete('vhost-device-rng --log-level ')).toContain('silent');
});
