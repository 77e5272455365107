// `npm start` with the real job, behind an installer and a builder that have nothing to do.
import { accessSync, constants, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { ScriptSandbox } from './script-sandbox.ts';

/** Several processes, one after another, on a machine that does other things. */
const TIMEOUT = 120_000;
const START = ['npm', 'start', '--', '--simulated'];
const kvm = process.arch === 'x64' && usable('/dev/kvm');

function usable(device: string): boolean {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

let sandbox: ScriptSandbox;

beforeEach(() => {
  sandbox = new ScriptSandbox();
  sandbox.link('apps', 'packages', 'bench', 'examples', 'test-harness');
  sandbox.program('npx', 'mkdir -p node_modules');
  sandbox.program('turbo', 'exit 0');
});
afterEach(async () => await sandbox.close());

describe.skipIf(!existsSync(join(WORKSPACE_ROOT, 'apps/demo/dist/main.js')))(
  'npm start (built by tsc -b)',
  { timeout: TIMEOUT },
  () => {
    it('tells its story and nothing else, and leaves nothing', async () => {
      const script = await sandbox.run(['npm', 'start', '--silent', '--', '--simulated']);
      expect(script.stderr).toBe('');
      expect(await script.closed).toBe(0);
      const lines = script.stdout.trimEnd().split('\n').slice(1);
      expect(lines.filter((line) => !/^ *\d+\.\d\d s {2}(bridge|guest ) {2}\S/.test(line))).toEqual(
        [],
      );
      expect(lines.at(-1)).toMatch(/everything is closed/);
      expect(await sandbox.leftovers()).toEqual([]);
    });

    it.each([
      ['SIGINT', 'group'],
      ['SIGINT', 'process'],
      ['SIGTERM', 'process'],
    ] as const)(
      'ends when interrupted while the daemon starts (%s to its %s)',
      async (signal, to) => {
        const script = sandbox.start(START);
        await script.prints(/starting vhost-device-i2c/);
        script.signal(signal, to);
        await script.closed;
        expect(await sandbox.leftovers(), script.output).toEqual([]);
        expect(script.output).not.toMatch(/starting the guest|\n\s+at |"level":/);
      },
    );

    it.each([
      ['when the daemon is there', /features negotiated/, 'SIGTERM', 'group'],
      ['while the guest starts', /starting the guest/, 'SIGINT', 'process'],
      ['while the guest works', /I2C adapter found/, 'SIGINT', 'group'],
      ['while the guest works', /read back/, 'SIGTERM', 'process'],
      ['at the end', /more transfers/, 'SIGINT', 'group'],
    ] as const)('leaves nothing when interrupted %s (%s, %s to its %s)', async (...row) => {
      const [, moment, signal, to] = row;
      const script = sandbox.start(START);
      await script.prints(moment);
      script.signal(signal, to);
      await script.closed;
      expect(await sandbox.leftovers(), script.output).toEqual([]);
      expect(script.output).not.toMatch(/\n\s+at |"level":/);
    });

    it.skipIf(!kvm)(
      `runs a guest on /dev/kvm and leaves nothing ${kvm ? '' : '(skipped, unavailable: no /dev/kvm)'}`,
      async () => {
        const script = await sandbox.run(['npm', 'start', '--silent']);
        expect(script.stderr).toBe('');
        expect(await script.closed).toBe(0);
        const lines = script.stdout.trimEnd().split('\n');
        expect(lines.find((line) => line.includes('  bridge  '))).toMatch(
          /a virtual machine of \/dev\/kvm/,
        );
        expect(lines.filter((line) => line.includes('FAILED'))).toEqual([]);
        expect(script.stdout).toMatch(/gpio: 10 edges of line 1\n/);
        expect(script.stdout).toMatch(/guest {3}guest: done\n/);
        expect(lines.at(-1)).toMatch(/everything is closed/);
        expect(await sandbox.leftovers()).toEqual([]);
      },
    );

    it.skipIf(!kvm).each([
      [/starting vhost-device-i2c/, 'SIGINT', 'group'],
      [/features negotiated/, 'SIGTERM', 'process'],
      [/i2c: 2 chips/, 'SIGINT', 'process'],
      [/pressing the button/, 'SIGTERM', 'group'],
    ] as const)(
      'leaves nothing of a guest on /dev/kvm when interrupted at %s (%s, %s)',
      async (...row) => {
        const [moment, signal, to] = row;
        const script = sandbox.start(['npm', 'start']);
        await script.prints(moment);
        script.signal(signal, to);
        await script.closed;
        expect(await sandbox.leftovers(), script.output).toEqual([]);
        expect(script.output).not.toMatch(/\n\s+at |"level":/);
      },
    );

    it('leaves nothing when its daemon cannot have a socket, and says so in one line', async () => {
      const deep = join(sandbox.tmp, 'x'.repeat(100));
      mkdirSync(deep);
      const script = await sandbox.run(['node', 'scripts/start.mjs', '--simulated'], {
        TMPDIR: deep,
      });
      expect(script.stderr).toMatch(/^demo: Cannot make the socket [^\n]+ set TMPDIR [^\n]+\n$/);
      expect(await script.closed).toBe(1);
      expect(readdirSync(deep)).toEqual([]);
      expect(await sandbox.leftovers()).toEqual([deep.slice(sandbox.tmp.length + 1)]);
    });

    it('says in one line that there is no directory for temporary files', async () => {
      const script = await sandbox.run(['node', 'scripts/start.mjs'], { TMPDIR: '/nowhere' });
      expect(script.stderr).toMatch(/^demo: [^\n]*\/nowhere[^\n]*\n$/);
      expect(await script.closed).toBe(1);
      expect(await sandbox.leftovers()).toEqual([]);
    });
  },
);
