import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FixtureProcess } from '../support/fixture-process.ts';

const DAEMON = fileURLToPath(new URL('../fixtures/daemon.mjs', import.meta.url));

describe('A daemon of two devices, one of which fails', () => {
  let directory: string;
  let socketPath: string;
  let daemon: FixtureProcess | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'cli-'));
    socketPath = join(directory, 's');
    execFileSync('mkfifo', [`${socketPath}0.fails`, `${socketPath}1.fails`]);
  });
  afterEach(async () => {
    await daemon?.end('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  async function start(...options: string[]): Promise<FixtureProcess> {
    const args = ['-s', socketPath, '-c', '2', ...options];
    daemon = new FixtureProcess(args, 'pipe', [], DAEMON).readStderr();
    await logged(daemon, 'device ready', 2);
    return daemon;
  }

  function logged(process: FixtureProcess, text: string, times = 1): Promise<void> {
    return process.until(() => process.stderr.split(text).length > times);
  }

  function fail(index: number): void {
    writeFileSync(`${socketPath}${index}.fails`, 'x');
  }

  it('goes on with the other, and ends with 1 when that has failed too', async () => {
    const process = await start();
    fail(0);
    await logged(process, 'Cannot go on with device foo0');
    // Said before the device is taken down.
    await expect.poll(() => existsSync(`${socketPath}0`), { timeout: 45_000 }).toBe(false);
    process.child.kill('SIGUSR1');
    const told = /"name":"foo0".*"failed".*"name":"foo1".*"listening"/;
    await process.until(() => told.test(process.stderr));
    fail(1);
    expect(await process.exit).toEqual({ code: 1, signal: null });
    expect(process.stderr).toMatch(
      /^fixture: Cannot go on with device foo1: the pipe was written \(.*fails-device.mjs:\d+\)$/m,
    );
    expect(existsSync(`${socketPath}1`)).toBe(false);
  });

  it('ends at once with --exit-on-failure', async () => {
    const process = await start('--exit-on-failure');
    fail(0);
    expect(await process.exit).toEqual({ code: 1, signal: null });
    expect(process.stderr).toContain('fixture: Cannot go on with device foo0');
  });

  it('makes it again with --restart-failed', async () => {
    const process = await start('--restart-failed');
    fail(0);
    await logged(process, 'device made again');
    expect(process.stderr).toContain('"restartMs":1000');
    expect(existsSync(`${socketPath}0`)).toBe(true);
    expect(await process.end()).toEqual({ code: 0, signal: null });
  });

  it('cannot do both', async () => {
    const both = ['-s', socketPath, '--restart-failed', '--exit-on-failure'];
    daemon = new FixtureProcess(both, 'pipe', [], DAEMON).readStderr();
    expect(await daemon.exit).toEqual({ code: 2, signal: null });
    expect(daemon.stderr).toMatch(/^fixture: .*cannot be used with.*; see fixture --help\n$/);
  });
});
