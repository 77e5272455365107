// A path that cannot be used: each reason has its own text, for each option that names one.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath, geteuid } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const DAEMON = fileURLToPath(new URL('../fixtures/plain-daemon.mjs', import.meta.url));
const CTL = fileURLToPath(new URL('../../dist/ctl-main.js', import.meta.url));
/** Whoever has all rights lays down the one that passes over permissions. */
const WITHOUT_RIGHTS =
  geteuid?.() === 0 ? ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'] : [];
const READ_ONLY = ['unshare', '-rm', 'sh', '-c', 'mount -t tmpfs -o ro none "$0" && exec "$@"'];

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cli-'));
  mkdirSync(join(directory, 'dir'));
  mkdirSync(join(directory, 'closed'), { mode: 0o500 });
  writeFileSync(join(directory, 'file'), '');
  symlinkSync('circle', join(directory, 'circle'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function run(program: string, args: readonly string[], before: readonly string[] = []) {
  const [command = execPath, ...words] = [...before, execPath, program, ...args];
  const { status, stderr } = spawnSync(command, words, { encoding: 'utf8', timeout: 60_000 });
  return { status, stderr: stderr.replaceAll(directory, 'DIR') };
}

/** The daemon with one option more than it takes to serve. */
function daemon(option: string, path: string, more: readonly string[] = []) {
  const socket = option === '--socket-path' ? [] : ['-s', join(directory, 's')];
  return [...socket, '--log-level', 'error', option, path, ...more];
}

const mountsThere = (): boolean => {
  const [command = '', ...words] = [...READ_ONLY.slice(0, -1), 'mount -t tmpfs -o ro none /mnt'];
  return spawnSync(command, words).status === 0;
};
const MOUNTS = mountsThere();
const unavailable = MOUNTS ? '' : ' (skipped, unavailable: no mount namespaces)';

describe.each(['--socket-path', '--control-socket'])('%s', { timeout: 120_000 }, (option) => {
  it.each([
    [
      'a directory',
      'dir',
      1,
      `Cannot use ${option} DIR/dir: it is a directory; name the socket in it`,
    ],
    ['a directory with its slash', 'dir/', 1, 'it is a directory; name the socket in it (DIR/dir/'],
    ['in no directory', 'none/s', 1, 'DIR/none: it does not exist; create it (mkdir -p DIR/none)'],
    ['in a file', 'file/s', 1, `DIR/file: it is no directory; choose another ${option}`],
    [
      'below a file',
      'file/dir/s',
      1,
      'DIR/file/dir: what should be a directory on its way is none',
    ],
    ['in a circle', 'circle/s', 1, 'DIR/circle: its symbolic links lead in a circle'],
    [
      'a file',
      'file',
      1,
      `a file that is no socket is there; remove it or choose another ${option}`,
    ],
    ['too long', 'x'.repeat(120), 2, 'it must have 1 to 107 bytes'],
    ['not UTF-8', 'x\u{fffd}', 2, `Cannot use ${option} 'DIR/x\u{fffd}': it is not UTF-8`],
  ])('is refused: %s', (_name, path, status, text) => {
    const refused = run(DAEMON, daemon(option, join(directory, path)));
    expect(refused.stderr).toMatch(/^fixture: [^\n]*\n$/);
    expect(refused.stderr).toContain(text);
    expect(refused.status).toBe(status);
  });

  it('is refused: empty', () => {
    expect(run(DAEMON, daemon(option, ''))).toEqual({
      status: 2,
      stderr: `fixture: Cannot use an empty ${option}; see fixture --help\n`,
    });
  });

  it('is refused: without permission', () => {
    const refused = run(DAEMON, daemon(option, join(directory, 'closed/s')), WITHOUT_RIGHTS);
    expect(refused).toEqual({
      status: 1,
      stderr: `fixture: Cannot listen on DIR/closed/s: permission denied; run as a user who may, or choose another ${option}\n`,
    });
  });

  it.runIf(MOUNTS)(`is refused: on a read-only file system${unavailable}`, () => {
    const dir = join(directory, 'dir');
    const refused = run(DAEMON, daemon(option, join(dir, 's')), [...READ_ONLY, dir]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^fixture: [^\n]*\n$/);
    expect(refused.stderr).toContain(
      `DIR/dir: its file system is read-only; choose another ${option}`,
    );
  });
});

describe('--socket-path with --socket-count', { timeout: 120_000 }, () => {
  it.each(['dir', 'dir/'])('is no directory: %s', (path) => {
    const words = daemon('--socket-path', join(directory, path), ['-c', '2']);
    const refused = run(DAEMON, words);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(
      ': it is a directory; name the socket in it (DIR/dir/name.sock)',
    );
  });
});

describe('--state-dir', { timeout: 120_000 }, () => {
  it.each([
    ['not there', 'none one', 1, "it does not exist; create it (mkdir -p 'DIR/none one')"],
    ['a file', 'file', 1, 'DIR/file: it is no directory; choose another --state-dir'],
    ['below a file', 'file/dir', 1, 'what should be a directory on its way is none'],
    ['in a circle', 'circle', 1, 'its symbolic links lead in a circle'],
    ['too long', 'x'.repeat(300), 1, 'it is longer than Linux allows'],
    ['not UTF-8', 'x\u{fffd}', 2, "Cannot use --state-dir 'DIR/x\u{fffd}': it is not UTF-8"],
  ])('is refused: %s', (_name, path, status, text) => {
    const refused = run(DAEMON, daemon('--state-dir', join(directory, path)));
    expect(refused.stderr).toMatch(/^fixture: [^\n]*\n$/);
    expect(refused.stderr).toContain(text);
    expect(refused.status).toBe(status);
  });

  it.runIf(MOUNTS)(`is refused: on a read-only file system${unavailable}`, () => {
    const dir = join(directory, 'dir');
    const refused = run(DAEMON, daemon('--state-dir', dir), [...READ_ONLY, dir]);
    expect(refused).toEqual({
      status: 1,
      stderr:
        'fixture: Cannot keep state in DIR/dir: its file system is read-only; choose another --state-dir\n',
    });
  });
});

describe('the socket that vhost-device-ctl connects to', { timeout: 120_000 }, () => {
  it.each([
    ['not there', 'none', 1, 'there is no such socket; is the daemon running'],
    [
      'a directory',
      'dir',
      1,
      'it is no socket; name what the daemon was given as --control-socket',
    ],
    ['in a file', 'file/c', 1, 'what should be a directory on its way is none'],
    ['too long', 'x'.repeat(120), 1, "a socket's path has 107 bytes at most"],
    ['not UTF-8', 'x\u{fffd}', 2, 'it is not UTF-8'],
  ])('is refused: %s', (_name, path, status, text) => {
    const refused = run(CTL, [join(directory, path), 'status']);
    expect(refused.stderr).toMatch(/^vhost-device-ctl: [^\n]*\n$/);
    expect(refused.stderr).toContain(text);
    expect(refused.status).toBe(status);
  });

  it('is refused: empty', () => {
    expect(run(CTL, ['', 'status'])).toEqual({
      status: 2,
      stderr: 'vhost-device-ctl: Cannot use an empty <socket>; see vhost-device-ctl --help\n',
    });
  });
});
