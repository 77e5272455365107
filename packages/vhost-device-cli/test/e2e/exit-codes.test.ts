import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../fixtures/program.mjs', import.meta.url));

/** Runs the fixture in a shell that keeps its exit code. */
function shell(command: string): { code: string; stdout: string; stderr: string } {
  const script = command.replace('fixture', `"${process.execPath}" "${PROGRAM}"`);
  const result = spawnSync('sh', ['-c', `{ ${script}; echo "code $?" >&3; } 3>&1`], {
    encoding: 'utf8',
  });
  const { stderr } = result;
  const [stdout = '', code = ''] = result.stdout.split('code ');
  return { code: code.trim(), stdout, stderr };
}

describe('exit codes', () => {
  it('of a usage error is 2, with one line that points to --help', () => {
    expect(shell('fixture usage')).toEqual({
      code: '2',
      stdout: '',
      stderr: 'fixture: no such thing; see fixture --help\n',
    });
  });

  it('hold with a full or closed standard error', () => {
    expect(shell('fixture usage 2>/dev/full')).toMatchObject({ code: '2', stderr: '' });
    expect(shell('fixture usage 2>&-')).toMatchObject({ code: '2', stderr: '' });
  });

  it('hold when the reader of standard error is gone', () => {
    const closed = `${process.execPath} -e ''`;
    const result = shell(`{ sleep 0.2; fixture usage; echo "code $?" >&3; } 2>&1 | ${closed}`);
    expect(result.code).toContain('2');
    expect(result.stderr).toBe('');
  });

  it('of printing to a full disk is 1, without a stack trace', () => {
    expect(shell('fixture print 10 >/dev/full')).toEqual({
      code: '1',
      stdout: '',
      stderr: 'fixture: Cannot write to standard output: ENOSPC\n',
    });
  });

  it('of printing for a reader who has seen enough is 0', () => {
    const result = shell('{ fixture print 1000000; echo "code $?" >&3; } | head -c 1');
    expect(result).toMatchObject({ stdout: 'x', stderr: '' });
    expect(result.code).toContain('0');
  });
});
