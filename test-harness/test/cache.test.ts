import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Apt } from '../src/box/apt.ts';
import { type Artefact, artefactDirectory, buildArtefact, isBuilt } from '../src/box/artefact.ts';
import { takeLock } from '../src/box/lock.ts';
import { tryRun } from '../src/box/run-command.ts';
import { dependencyClosure } from '../src/box/workspace-closure.ts';

let home: string;
const before = process.env['XDG_CACHE_HOME'];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'cache-test-'));
  process.env['XDG_CACHE_HOME'] = home;
});

afterEach(() => {
  if (before === undefined) delete process.env['XDG_CACHE_HOME'];
  else process.env['XDG_CACHE_HOME'] = before;
  rmSync(home, { recursive: true });
});

function artefact(inputs: unknown, build: Artefact['build']): Artefact {
  return { name: 'thing', title: 'A thing', inputs, files: ['file'], build };
}

describe('artefacts', () => {
  const apt = (): Apt => new Apt({ log: join(home, 'apt.log') });

  it('are kept under a name that depends on their inputs', async () => {
    const one = artefact({ version: 1 }, async ({ out }) => writeFileSync(join(out, 'file'), '1'));
    const two = artefact({ version: 2 }, one.build);
    await buildArtefact(one, apt(), () => {});
    expect(isBuilt(one)).toBe(true);
    expect(isBuilt(two)).toBe(false);
    expect(readFileSync(join(artefactDirectory(one), 'file'), 'utf8')).toBe('1');
  });

  it('do not appear when their recipe fails half way', async () => {
    const broken = artefact(1, async ({ out }) => {
      writeFileSync(join(out, 'file'), 'half');
      throw new Error('no');
    });
    await expect(buildArtefact(broken, apt(), () => {})).rejects.toThrow('no');
    expect(existsSync(artefactDirectory(broken))).toBe(false);
  });
});

describe('the lock', () => {
  it('is held by one at a time', async () => {
    const path = join(home, 'lock');
    const release = await takeLock(path);
    const waitedFor: number[] = [];
    const second = takeLock(path, (pid) => waitedFor.push(pid));
    await expect.poll(() => waitedFor).toEqual([process.pid]);
    release();
    (await second)();
    expect(existsSync(path)).toBe(false);
  });

  it('is taken over from the dead', async () => {
    const path = join(home, 'lock');
    // No process has a number that high.
    writeFileSync(path, '99999999');
    (await takeLock(path))();
  });
});

describe('commands of this machine', () => {
  it('leave all their output in the log', async () => {
    const log = join(home, 'log');
    const result = await tryRun(['sh', '-c', 'echo out; echo err >&2; exit 3'], { log });
    expect(result).toEqual({ stdout: 'out\n', code: 3 });
    const text = readFileSync(log, 'utf8');
    expect(text).toContain('out\n');
    expect(text).toContain('err\n');
  });

  it('are told apart from programs that are not there', async () => {
    const run = tryRun(['no-such-program'], { log: join(home, 'log') });
    await expect(run).rejects.toMatchObject({ code: 'MISSING_TOOL' });
  });
});

describe('the dependency closure', () => {
  function addPackage(
    path: string,
    version: string,
    dependencies: Record<string, string> = {},
  ): void {
    const directory = join(home, path);
    mkdirSync(directory, { recursive: true });
    const name = path.slice(path.lastIndexOf('/') + 1);
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ name, version, dependencies }));
  }

  it('is flat, but for versions that differ', () => {
    addPackage('app', '1.0.0', { a: '1', b: '1' });
    addPackage('app/node_modules/a', '1.0.0');
    addPackage('app/node_modules/b', '1.0.0', { a: '2' });
    addPackage('app/node_modules/b/node_modules/a', '2.0.0', { c: '1' });
    addPackage('app/node_modules/c', '1.0.0');
    const placed = dependencyClosure([join(home, 'app')]);
    expect(placed.map(({ path, manifest }) => `${path}@${manifest.version}`)).toEqual([
      'node_modules/app@1.0.0',
      'node_modules/a@1.0.0',
      'node_modules/b@1.0.0',
      'node_modules/b/node_modules/a@2.0.0',
      'node_modules/c@1.0.0',
    ]);
  });

  it('names what is not installed', () => {
    addPackage('app', '1.0.0', { absent: '1' });
    expect(() => dependencyClosure([join(home, 'app')])).toThrow('absent is not installed');
  });
});
