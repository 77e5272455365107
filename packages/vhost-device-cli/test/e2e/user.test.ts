import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath, geteuid } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FixtureProcess } from '../support/fixture-process.ts';

const DAEMON = fileURLToPath(new URL('../fixtures/daemon.mjs', import.meta.url));
const DROP = new URL('../../dist/drop-privileges.js', import.meta.url).href;
const ROOT = geteuid?.() === 0;

describe('--user', () => {
  let directory: string;
  let socketPath: string;
  let daemon: FixtureProcess | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'cli-'));
    socketPath = join(directory, 's');
    execFileSync('mkfifo', [`${socketPath}0.fails`]);
  });
  afterEach(async () => {
    await daemon?.end('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  const start = (...args: string[]): FixtureProcess => {
    daemon = new FixtureProcess(['-s', socketPath, ...args], 'pipe', [], DAEMON).readStderr();
    return daemon;
  };

  it.runIf(ROOT)('is the user of every thread by the time that a front-end is served', async () => {
    // What only root can open, as the device has it open already.
    chmodSync(`${socketPath}0.fails`, 0o600);
    const process = start('--user', 'nobody');
    await process.until(() => process.stderr.includes('device ready'));
    const tasks = `/proc/${process.child.pid}/task`;
    const uid = execFileSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).trim();
    const groups = execFileSync('id', ['-G', 'nobody'], { encoding: 'utf8' }).trim();
    const seen = readdirSync(tasks).map((task) => {
      const status = readFileSync(`${tasks}/${task}/status`, 'utf8');
      const line = (name: string) =>
        new RegExp(`^${name}:\\s*(.*?)\\s*$`, 'm').exec(status)?.[1]?.replaceAll('\t', ' ');
      return `${line('Uid')} ${line('Groups')} ${line('CapEff')}`;
    });
    const ids = Array(4).fill(uid).join(' ');
    expect(new Set(seen)).toEqual(new Set([`${ids} ${groups} 0000000000000000`]));
    expect(seen.length).toBeGreaterThan(1);
    expect(await process.end()).toEqual({ code: 0, signal: null });
  });

  it('that one may not become ends with 1 and says so', () => {
    const script = `
      // Whoever runs the tests, this process has no right to become somebody else.
      if (process.geteuid() === 0) process.setuid('nobody');
      const { dropPrivileges } = await import(${JSON.stringify(DROP)});
      try {
        dropPrivileges({ name: 'root', uid: 0, gid: 0 });
      } catch ({ code, message }) {
        console.log(code, message);
      }`;
    const said = execFileSync(execPath, ['--input-type=module', '--eval', script], {
      encoding: 'utf8',
    });
    expect(said).toMatch(/^NOT_PERMITTED Cannot become user root: .*; start as root/);
  });

  it('that does not exist is a wrong command line', async () => {
    const process = start('--user', 'nobody-of-that-name');
    expect(await process.exit).toEqual({ code: 2, signal: null });
    expect(process.stderr).toMatch(/There is no such user.*--help/);
  });
});
