import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseSources, parseUris } from '../src/box/apt.ts';
import {
  type Artefact,
  artefactDirectory,
  buildArtefact,
  isBuilt,
  isCurrent,
} from '../src/box/artefact.ts';
import { markUsed, pruneCache } from '../src/box/cache.ts';
import { DebianArchive } from '../src/box/debian-archive.ts';
import { BoxError } from '../src/box/errors.ts';
import { hasProgram } from '../src/box/host-tools.ts';
import { takeLock } from '../src/box/lock.ts';
import { Progress } from '../src/box/progress.ts';
import { tryRun } from '../src/box/run-command.ts';
import { Workshop } from '../src/box/workshop.ts';
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
  return { name: 'thing', title: 'A thing', kind: 'fetch', inputs, files: ['file'], build };
}

function debian(): DebianArchive {
  return new DebianArchive({ log: join(home, 'apt.log') });
}

describe('artefacts', () => {
  it('are kept under a name that depends on their inputs', async () => {
    const one = artefact({ version: 1 }, async ({ out }) => writeFileSync(join(out, 'file'), '1'));
    const two = artefact({ version: 2 }, one.build);
    await buildArtefact(one, debian(), () => {});
    expect(isBuilt(one)).toBe(true);
    expect(isBuilt(two)).toBe(false);
    expect(readFileSync(join(artefactDirectory(one), 'file'), 'utf8')).toBe('1');
  });

  it('do not appear when their recipe fails half way', async () => {
    const broken = artefact(1, async ({ out }) => {
      writeFileSync(join(out, 'file'), 'half');
      throw new Error('no');
    });
    await expect(buildArtefact(broken, debian(), () => {})).rejects.toThrow('no');
    expect(existsSync(artefactDirectory(broken))).toBe(false);
  });
});

describe('the workshop', () => {
  const lines: string[] = [];
  const workshop = (rebuild: readonly string[] = []): Workshop =>
    new Workshop(debian(), new Progress((line) => lines.push(line)), rebuild);
  const works: Artefact['build'] = async ({ out }) => writeFileSync(join(out, 'file'), 'made');
  const absent: Artefact['build'] = async () => {
    throw new BoxError('NOT_AVAILABLE', 'Cannot download it: the mirror has it not\nmore');
  };
  const named = (name: string, build: Artefact['build'], needs: Artefact[] = []): Artefact => ({
    ...artefact({ name }, build),
    name,
    needs,
  });

  it('makes what is needed first, and all of it once', async () => {
    const order: string[] = [];
    const step =
      (name: string): Artefact['build'] =>
      async (context) => {
        order.push(name);
        await works(context);
      };
    const source = named('source', step('source'));
    const [one, two] = ['one', 'two'].map((name) => named(name, step(name), [source]));
    const shop = workshop();
    const outcomes = await Promise.all([one, two].map((item) => shop.make(item as Artefact)));
    expect(outcomes.map(({ state }) => state)).toEqual(['ready', 'ready']);
    expect(order[0]).toBe('source');
    expect(order.slice(1).sort()).toEqual(['one', 'two']);
  });

  it('tells what cannot be had from what was not made', async () => {
    const shop = workshop();
    const source = named('source', absent);
    expect(await shop.make(named('binary', works, [source]))).toEqual({
      state: 'unavailable',
      reason: 'Cannot download it: the mirror has it not',
    });
    const broken = named('broken', async () => {
      throw new BoxError('BUILD_FAILED', 'Cannot run make: exit code 2');
    });
    expect(await shop.make(broken)).toMatchObject({ state: 'failed' });
    expect(isBuilt(broken)).toBe(false);
  });

  it('goes on with an older one where the new one cannot be had', async () => {
    const old = artefact({ recipe: 1 }, works);
    await workshop().make(old);
    const next = artefact({ recipe: 2 }, absent);
    expect(isBuilt(next)).toBe(false);
    expect(await workshop().make(next)).toEqual({ state: 'ready', reason: '' });
    expect(isBuilt(next)).toBe(true);
    expect(isCurrent(next)).toBe(false);
    expect(artefactDirectory(next)).toBe(artefactDirectory(old));
    // As soon as it can be had it is made.
    await workshop().make({ ...next, build: works });
    expect(isCurrent(next)).toBe(true);
  });
});

describe('pruning', () => {
  const made = async (inputs: string): Promise<Artefact> => {
    const item = artefact(inputs, async ({ out }) => writeFileSync(join(out, 'file'), inputs));
    await buildArtefact(item, debian(), () => {});
    return item;
  };
  const nextYear = (): number => Date.now() + 365 * 24 * 60 * 60 * 1000;

  it('removes what is old, unless it is current or in use', async () => {
    const [old, used, current] = [await made('old'), await made('used'), await made('current')];
    markUsed(used);
    expect(pruneCache([current])).toEqual([]);
    expect(pruneCache([current], nextYear())).toHaveLength(1);
    expect([old, used, current].map(isBuilt)).toEqual([false, true, true]);
  });

  it('keeps what stands in for another', async () => {
    const old = await made('old');
    const next = artefact('next', async () => {
      throw new BoxError('NOT_AVAILABLE', 'Cannot download it');
    });
    await new Workshop(debian(), new Progress(() => {}), []).make(next);
    // What the recipe left half made goes.
    expect(pruneCache([], nextYear())).toEqual([expect.stringMatching(/\.part$/)]);
    expect(isBuilt(old)).toBe(true);
  });
});

describe("apt's source index", () => {
  it('gives the original tarballs of every version', () => {
    const text = `Package: xen
Version: 4.20.2+7-1
Checksums-Sha256:
 ${'a'.repeat(64)} 4054 xen_4.20.2+7-1.dsc
 ${'b'.repeat(64)} 4964620 xen_4.20.2+7.orig.tar.xz
 ${'c'.repeat(64)} 139888 xen_4.20.2+7-1.debian.tar.xz
Files:
 ${'d'.repeat(32)} 4964620 xen_4.20.2+7.orig.tar.xz

Package: xen
Version: 4.17.0-1
`;
    expect(parseSources(text)).toEqual([
      {
        version: '4.20.2+7-1',
        tarballs: new Map([['xen_4.20.2+7.orig.tar.xz', 'b'.repeat(64)]]),
      },
    ]);
  });
});

describe("apt's list of what it would install", () => {
  it('gives packages with their versions', () => {
    const text = `Reading package lists...
The following NEW packages will be installed:
  libc6 qemu-system-x86
'http://mirror.example/pool/main/g/glibc/libc6_2.43-7_amd64.deb' libc6_2.43-7_amd64.deb 1866392 SHA256:aa
'http://mirror.example/q/qemu/qemu-system-x86_11.1.3+ds-1_amd64.deb' qemu-system-x86_1%3a11.1.3+ds-1_amd64.deb 10782144 SHA256:bb
`;
    expect(parseUris(text)).toEqual([
      { name: 'libc6', version: '2.43-7' },
      { name: 'qemu-system-x86', version: '1:11.1.3+ds-1' },
    ]);
  });

  it('is empty where there is none', () => {
    expect(parseUris('Reading package lists...\nE: Unable to locate package qemu\n')).toEqual([]);
  });
});

describe('programs', () => {
  it('are found in the search path and by their own', () => {
    const program = join(home, 'program');
    writeFileSync(program, '', { mode: 0o755 });
    writeFileSync(join(home, 'text'), '', { mode: 0o644 });
    expect(hasProgram('sh')).toBe(true);
    expect(hasProgram(program)).toBe(true);
    expect(hasProgram(join(home, 'text'))).toBe(false);
    expect(hasProgram(join(home, 'nothing'))).toBe(false);
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
