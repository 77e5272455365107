// What each program of this repository makes of a command line, and of standard streams that are full,
// closed or not read: an administrator's scripts rely on one line and the exit code.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../../scripts/workspace.mjs';
import { programs } from './support/programs.ts';

/** All are started with these words in place of $0 and $@. */
function shell(script: string, file: string): { code: string; stdout: string; stderr: string } {
  const options = { encoding: 'utf8', timeout: 60_000 } as const;
  const { stdout, stderr } = spawnSync(
    'sh',
    ['-c', `{ ${script}; } 3>&1`, process.execPath, file],
    options,
  );
  // Anywhere: who reads what a program says may be slower than the shell that tells its code.
  const [said = '', code = ''] = /code (\d+)\n/.exec(stdout) ?? [];
  return { code, stdout: stdout.replace(said, ''), stderr };
}

const run = (file: string, words: string, streams = '') =>
  shell(`"$0" "$@" ${words} ${streams}; echo "code $?" >&3`, file);

it('there are programs of all kinds', () => {
  expect(programs().map(({ name }) => name)).toEqual(
    expect.arrayContaining(['vhost-device-i2c', 'vhost-device-ctl', 'xen-vhost-master', 'demo']),
  );
});

describe.each(programs())('$name', { timeout: 120_000 }, ({ name, file }) => {
  const line = (text: string): RegExp =>
    new RegExp(`^${name}: [^\\n]*${text}[^\\n]*; see ${name} --help\\n$`);

  it('names an option that does not exist, whatever is missing, in one line', () => {
    const mistyped = run(file, '--verison');
    expect(mistyped).toMatchObject({ code: '2', stdout: '' });
    expect(mistyped.stderr).toMatch(
      line("unknown option '--verison' \\(Did you mean --version\\?\\)"),
    );
    expect(run(file, '--nonsense').stderr).toMatch(line("unknown option '--nonsense'"));
  });

  it('refuses what is not UTF-8', () => {
    const refused = run(file, '"$(printf "one\\377")"');
    expect(refused).toMatchObject({ code: '2', stdout: '' });
    expect(refused.stderr).toMatch(line('argument .* is not UTF-8'));
  });

  // Whatever follows is for the device.
  if (name !== 'vhost-device-ctl') {
    it('names arguments that are too many', () => {
      const refused = run(file, 'one two');
      expect(refused).toMatchObject({ code: '2', stdout: '' });
      expect(refused.stderr).toMatch(line("too many arguments: 'one', 'two'"));
    });
  }

  it('keeps its exit code with a full, closed or unread standard error', () => {
    expect(run(file, '--nonsense', '2>/dev/full')).toMatchObject({ code: '2', stderr: '' });
    expect(run(file, '--nonsense', '2>&-')).toMatchObject({ code: '2', stderr: '' });
    const script = '{ sleep 0.2; "$0" "$@" --nonsense 2>&1; echo "code $?" >&3; } | true';
    const unread = shell(script, file);
    expect(unread).toMatchObject({ code: '2', stderr: '' });
  });

  it('prints its usage to a full standard output, or to nobody, without a stack', () => {
    expect(run(file, '--help', '>/dev/full')).toEqual({
      code: '1',
      stdout: '',
      stderr: `${name}: Cannot write to standard output: ENOSPC\n`,
    });
    const few = shell('{ "$0" "$@" --help; echo "code $?" >&3; } | head -1 >&3', file);
    expect(few).toMatchObject({ code: '0', stderr: '' });
    expect(few.stdout).toMatch(new RegExp(`^Usage: ${name} `));
  });
});

describe('the command of the box', { timeout: 120_000 }, () => {
  const box = join(root, 'test-harness/dist/box/cli.js');

  it('keeps to the same rules', () => {
    expect(run(box, 'run --help', '>/dev/full')).toEqual({
      code: '1',
      stdout: '',
      stderr: 'Cannot write to standard output: ENOSPC\n',
    });
    expect(run(box, '--help')).toMatchObject({
      code: '0',
      stdout: expect.stringContaining('Usage: npm run box'),
      stderr: '',
    });
    for (const words of ['--nonsense', 'run --nonsense', 'setup --nonsense', '', 'run smok']) {
      const refused = run(box, words);
      expect(refused).toMatchObject({ code: '2', stdout: '' });
      expect(refused.stderr).toMatch(/^[^\n]*; see `npm run box -- --help`\n$/);
      expect(run(box, words, '2>/dev/full')).toMatchObject({ code: '2' });
      expect(run(box, words, '2>&-')).toMatchObject({ code: '2' });
    }
  });
});
