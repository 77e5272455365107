import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath, geteuid } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control.ts';
import { FixtureProcess } from '../support/fixture-process.ts';

const DAEMON = fileURLToPath(new URL('../fixtures/button-daemon.mjs', import.meta.url));
const CTL = fileURLToPath(new URL('../../dist/ctl-main.js', import.meta.url));
const ROOT = geteuid?.() === 0;

/** Processes of a loaded machine take their time. */
const PATIENT = { timeout: 120_000 };

let directory: string;
let control: string;
let stateDir: string;
const processes: FixtureProcess[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cli-'));
  control = join(directory, 'control');
  stateDir = join(directory, 'state');
  mkdirSync(stateDir);
});
afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.end('SIGKILL')));
  rmSync(directory, { recursive: true });
});

function run(program: string, ...args: string[]): FixtureProcess {
  const process = new FixtureProcess(args, 'pipe', [], program).readStderr();
  processes.push(process);
  return process;
}

async function daemon(...args: string[]): Promise<FixtureProcess> {
  const socketPath = join(directory, 's');
  const all = ['-s', socketPath, '--control-socket', control, '--state-dir', stateDir, ...args];
  const process = run(DAEMON, ...all);
  await process.until(() => process.stderr.includes('device ready'));
  return process;
}

describe('A daemon with a control socket and a directory for state', PATIENT, () => {
  it('is driven, keeps its state over SIGKILL, and removes its socket at its end', async () => {
    const first = await daemon();
    {
      using client = await ControlClient.connect(control);
      expect(await client.command(['state'])).toMatchObject({ fresh: true, kept: 0 });
      for (let n = 0; n < 3; n++) await client.command(['press']);
    }
    await first.end('SIGKILL');
    expect(existsSync(control)).toBe(true);
    const second = await daemon();
    using client = await ControlClient.connect(control);
    expect(await client.command(['state'])).toMatchObject({ fresh: false, kept: 3, presses: 0 });
    expect(await client.status()).toMatchObject([{ name: 'button0', state: 'listening' }]);
    expect(statSync(control).mode & 0o777).toBe(0o600);
    expect(statSync(join(stateDir, 'button0.state')).mode & 0o777).toBe(0o600);
    expect(await second.end()).toEqual({ code: 0, signal: null });
    expect(existsSync(control)).toBe(false);
    expect(existsSync(join(stateDir, 'button0.state'))).toBe(true);
  });

  it('has one for all devices, each of which has its state', async () => {
    await daemon('-c', '2');
    using client = await ControlClient.connect(control);
    await client.command(['press', '2'], { device: 'button1' });
    expect(await client.command(['@button0', 'state'])).toMatchObject({ kept: 0 });
    expect(await client.command(['@button1', 'state'])).toMatchObject({ kept: 2 });
    expect(existsSync(join(stateDir, 'button1.state'))).toBe(true);
  });

  it.runIf(ROOT)('leaves its state to the user that it becomes', async () => {
    const process = await daemon('--user', 'nobody', '--restart-failed');
    using client = await ControlClient.connect(control);
    await client.command(['press']);
    const { uid } = statSync(join(stateDir, 'button0.state'));
    expect(uid).not.toBe(0);
    await expect(client.command(['crash'])).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
    await process.until(() => process.stderr.includes('device made again'));
    expect(await client.command(['state'])).toMatchObject({ kept: 1, fresh: false });
  });

  it.each([
    ['--state-dir', 'none', 1, /Cannot keep state in .*none: it does not exist; create it \(mkdir/],
    [
      '--state-dir',
      'file',
      1,
      /Cannot keep state in .*file: it is no directory; choose another --s/,
    ],
    ['--state-dir', '', 2, /empty --state-dir; see .* --help/],
    [
      '--control-socket',
      'none/c',
      1,
      /Cannot create the control socket in .*none: it does not exist/,
    ],
    [
      '--control-socket',
      'file',
      1,
      /no socket is there; remove it or choose another --control-socket/,
    ],
    ['--control-socket', 'x'.repeat(200), 2, /control socket path ".*": it must have .* --help/],
    ['--control-socket', '', 2, /empty --control-socket; see .* --help/],
  ])('needs one: %s %s is exit code %d', async (option, path, code, text) => {
    writeFileSync(join(directory, 'file'), '');
    const where = path === '' ? '' : join(directory, path);
    const process = run(DAEMON, '-s', join(directory, 's'), '--log-level', 'error', option, where);
    expect(await process.exit).toEqual({ code, signal: null });
    expect(process.stderr).toMatch(new RegExp(`^button-daemon: .*${text.source}.*\\n$`));
  });

  it('does not start with state that another has', async () => {
    await daemon();
    const args = ['-s', join(directory, 't'), '--state-dir', stateDir, '--log-level', 'error'];
    const second = run(DAEMON, ...args);
    expect(await second.exit).toEqual({ code: 1, signal: null });
    expect(second.stderr).toMatch(
      /^button-daemon: Cannot use state file .*button0.state for device button0: another process or device has it.*\n$/,
    );
  });
});

describe('vhost-device-ctl', PATIENT, () => {
  const ctl = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(execPath, [CTL, ...args], { encoding: 'utf8' });
    return { status, stdout, stderr };
  };

  it('prints what the device answers', async () => {
    await daemon('-c', '2');
    expect(ctl(control, '@button0', 'press')).toEqual({ status: 0, stdout: '', stderr: '' });
    const { status, stdout } = ctl(control, '@button0', 'state');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ presses: 1, kept: 1, fresh: true });
    expect(ctl(control, '@button1', 'say', '-5', '--help').stdout).toBe(
      '{"words":["-5","--help"]}\n',
    );
    expect(JSON.parse(ctl(control, 'status').stdout).devices).toHaveLength(2);
  });

  it('has the exit codes of all programs, and one line on standard error', async () => {
    await daemon();
    const refused = ctl(control, 'lock');
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toBe('vhost-device-ctl: Cannot lock: there is no key\n');
    const usage = ctl(control, 'dance');
    expect(usage).toMatchObject({ status: 2, stdout: '' });
    expect(usage.stderr).toMatch(/^vhost-device-ctl: Cannot do dance: say .*; see .* --help\n$/);
    for (const args of [[], [control], [control, '@button0'], [control, 'a b'], ['--what']]) {
      const { status, stderr } = ctl(...args);
      expect(status).toBe(2);
      expect(stderr).toMatch(/^vhost-device-ctl: .*; see vhost-device-ctl --help\n$/);
    }
    expect(ctl(join(directory, 'none'), 'state')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /^vhost-device-ctl: .*there is no such socket; is the daemon running[^\n]*\n$/,
      ),
    });
    expect(ctl('--version')).toMatchObject({ status: 0, stderr: '' });
    expect(ctl('--help').stdout).toContain('<socket>');
    // A dozen processes, one after the other, on a machine that has other things to do.
  }, 120_000);

  it('watches until it is told to end', async () => {
    await daemon();
    using client = await ControlClient.connect(control);
    const watch = run(CTL, control, 'watch');
    await expect
      .poll(
        async () => {
          await client.command(['press']);
          return watch.stdout;
        },
        { timeout: 45_000 },
      )
      .toMatch(/^\{"device":"button0","type":"press",.*\}$/m);
    expect(await watch.end('SIGINT')).toEqual({ code: 0, signal: null });
    expect(watch.stderr).toBe('');
  });

  it('ends with 1 when the daemon ends under it', async () => {
    const serving = await daemon();
    using client = await ControlClient.connect(control);
    const watch = run(CTL, control, 'watch');
    await expect
      .poll(
        async () => {
          await client.command(['press']);
          return watch.stdout;
        },
        { timeout: 45_000 },
      )
      .toContain('press');
    await serving.end();
    expect(await watch.exit).toEqual({ code: 1, signal: null });
    expect(watch.stderr).toMatch(/^vhost-device-ctl: Cannot watch on: .*\n$/);
  });
});
