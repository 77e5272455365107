import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UnixListener } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { describe, expect, it } from 'vitest';
import { TempDir } from '../support.ts';

// The built program: the tests of the sources cannot tell whether it starts.
const PROGRAM = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' });
}

describe.skipIf(!existsSync(PROGRAM))('the program (built by tsc -b)', () => {
  it('prints help and version on standard output', () => {
    const help = run('--help');
    expect(help).toMatchObject({ status: 0, stderr: '' });
    expect(help.stdout).toMatch(/^Usage: xen-vhost-master/);
    expect(run('--version')).toMatchObject({ status: 0, stderr: '' });
  });

  it('ends with 2 and one line that points to the usage after a bad command line', () => {
    const { status, stdout, stderr } = run('--socket-path', '/root-is-not-asked/x');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(
      /^xen-vhost-master: every --socket-path .* needs a --name.*; see xen-vhost-master --help\n$/,
    );
    const mistyped = run('--socket-pth', 'x');
    expect(mistyped).toMatchObject({ status: 2, stdout: '' });
    expect(mistyped.stderr).toMatch(
      /^[^\n]*--socket-pth[^\n]*Did you mean --socket-path[^\n]*--help\n$/,
    );
  });

  it.each([
    [['kvm', '--memory', '4M'], /--image FILE; see xen-vhost-master kvm --help\n$/],
    [['kvm', '--imgae', 'x'], /Did you mean --image\?\)?; see xen-vhost-master kvm --help\n$/],
    [
      ['kvm', '--image', 'x', '--dispatch-threads', '65'],
      /65: [^\n]* 0 to 64, got "65"; see xen-vhost-master kvm --help\n$/,
    ],
    [
      ['-s', '/', '--dispatch-threads', 'all'],
      /0 to 64, got "all"; see xen-vhost-master --help\n$/,
    ],
    [['kvm', '--image', 'x', '--metrics', ''], /; see xen-vhost-master kvm --help\n$/],
    [['status', '--jsn'], /; see xen-vhost-master status --help\n$/],
  ])('points to the usage of the command after %j', (argv, line) => {
    const { status, stdout, stderr } = run(...argv);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(line);
    expect(stderr).toMatch(/^xen-vhost-master: [^\n]*\n$/);
  });

  it('prints a configuration that it takes again', () => {
    using dir = new TempDir();
    const device = 'i2c,domain=web,base=0xe0000000,irq=5';
    const first = run('--socket-path', dir.path, '--device', device, '--print-config');
    expect(first).toMatchObject({ status: 0, stderr: '' });
    const file = dir.join('bridge.yaml');
    writeFileSync(file, first.stdout);
    const again = run('--config', file, '--print-config');
    expect(again).toMatchObject({ status: 0, stdout: first.stdout, stderr: '' });
  });

  it('ends with 2 and one line with file and line number after a bad configuration', () => {
    using dir = new TempDir();
    const file = dir.join('bridge.yaml');
    writeFileSync(file, 'log-level: info\nnotification: fast\n');
    const { status, stdout, stderr } = run('--config', file);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(
      /^xen-vhost-master: [^\n]*bridge\.yaml:2: [^\n]*auto, kernel, user[^\n]*\n$/,
    );
  });

  it.skipIf(existsSync('/dev/xen/privcmd'))('ends with 1 and one line without Xen', () => {
    using dir = new TempDir();
    const { status, stdout, stderr } = run('--socket-path', dir.path);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^xen-vhost-master: [^\n]*\/dev\/xen\/privcmd[^\n]*\n$/);
  });

  // Node 20 would import the rest by paths with symbolic links: see `isDirectory`.
  it.skipIf(existsSync('/dev/xen/privcmd'))('loads the same when a socket is there', () => {
    using dir = new TempDir();
    const path = dir.join('i2c.sock0');
    using listener = UnixListener.bind(path);
    expect(listener.fd).toBeGreaterThan(0);
    const { status, stderr } = run('--socket-path', path, '--name', 'i2c');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^xen-vhost-master: [^\n]*\/dev\/xen\/privcmd[^\n]*\n$/);
  });
});

describe('a xenstore that is not running', () => {
  it('is reported with the path and what to do', () => {
    using dir = new TempDir();
    const path = dir.join('socket');
    expect(() => XenStore.open({ path })).toThrow(
      expect.objectContaining({
        code: 'NOT_RUNNING',
        message: expect.stringMatching(new RegExp(`${path}: ENOENT \\(start xenstored, or set`)),
      }),
    );
  });
});
