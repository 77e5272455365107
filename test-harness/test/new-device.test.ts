import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';

/** Copying, installing and a run of tests within this one: slow machines need it. */
const TIMEOUT_MS = 300_000;
const NAME = 'scratch-pad';
const PACKAGE = `packages/vhost-device-${NAME}`;
/** What the copy gets by itself, or must not have. */
const NOT_COPIED = /(^|\/)(node_modules|\.git|\.turbo|coverage)$/;
const BUILT = /(^|\/)(node_modules|\.git|\.turbo|coverage|dist)$/;

interface Outcome {
  readonly status: number | null;
  readonly output: string;
}

/** Runs a program of the copy, without what this run of tests has put into the environment. */
async function run(root: string, program: string, ...args: string[]): Promise<Outcome> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !/^(VITEST|TEST$|npm_|NODE_ENV)/.test(key)),
  );
  // `CI`: pnpm asks nobody.
  const child = spawn(program, args, { cwd: root, env: { ...env, CI: 'true' }, stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output };
}

/** Files below a directory, without what is built. */
function filesOf(root: string, under = ''): string[] {
  return readdirSync(join(root, under), { withFileTypes: true }).flatMap((entry) => {
    const path = join(under, entry.name);
    if (BUILT.test(path)) return [];
    return entry.isDirectory() ? filesOf(root, path) : [path];
  });
}

describe('npm run new:device, in a scratch copy of this tree', () => {
  let scratch: string;
  let installed: Outcome;
  let made: Outcome;
  const install = () =>
    run(
      scratch,
      join(WORKSPACE_ROOT, 'node_modules/.bin/pnpm'),
      ...['install', '--offline', '--frozen-lockfile', '--ignore-scripts'],
    );
  const newDevice = (...args: string[]) =>
    run(scratch, process.execPath, 'scripts/new-device.mjs', ...args);
  const tool = (name: string, ...args: string[]) =>
    run(scratch, join(scratch, 'node_modules/.bin', name), ...args);

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'node-vmm-new-device-'));
    // What is built comes along: only the new package is to be built.
    cpSync(WORKSPACE_ROOT, scratch, {
      recursive: true,
      verbatimSymlinks: true,
      preserveTimestamps: true,
      filter: (path) => !NOT_COPIED.test(path),
    });
    // As `npm start` does it on a fresh clone, but without a network.
    installed = await install();
    made = await newDevice(NAME);
  }, TIMEOUT_MS);
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('makes a package and a changeset, edits the lists of packages, and nothing else', () => {
    expect(made).toMatchObject({ status: 0, output: expect.stringContaining('npm start') });
    const differing = filesOf(scratch).filter((file) => {
      const original = join(WORKSPACE_ROOT, file);
      return (
        !existsSync(original) || !readFileSync(original).equals(readFileSync(join(scratch, file)))
      );
    });
    expect(differing.filter((file) => !file.startsWith(`${PACKAGE}/`)).sort()).toEqual([
      `.changeset/vhost-device-${NAME}.md`,
      'pnpm-lock.yaml',
      'tsconfig.json',
    ]);
    const inPackage = filesOf(join(scratch, PACKAGE));
    expect(inPackage).toEqual(
      filesOf(join(WORKSPACE_ROOT, 'packages/vhost-device-template'))
        .map((file) => file.replace('template', NAME))
        .sort((a, b) => inPackage.indexOf(a) - inPackage.indexOf(b)),
    );
    for (const file of inPackage) {
      const text = readFileSync(join(scratch, PACKAGE, file), 'utf8');
      if (!file.startsWith('LICENSE')) expect(text, file).not.toMatch(/template/i);
    }
    const manifest = readFileSync(join(scratch, PACKAGE, 'package.json'), 'utf8');
    expect(JSON.parse(manifest)).toMatchObject({ name: `@node-vmm/vhost-device-${NAME}` });
    expect(JSON.parse(manifest)).not.toHaveProperty('private');
  });

  it.each([
    ['no name', []],
    ['two names', ['a', 'b']],
    ['a path', ['../x']],
    ['an upper-case name', ['Foo']],
    ['a name that ends with a hyphen', ['foo-']],
    ['a digit in front', ['9p']],
    ['a long name', ['x'.repeat(41)]],
    ['an option', ['--force']],
    ['no text', ['']],
  ])('refuses %s with 2 and one line that points to --help', async (_, args) => {
    const { status, output } = await newDevice(...args);
    expect(output).toMatch(/^new-device: [^\n]+--help\n$/);
    expect(status).toBe(2);
  });

  it.each(['template', NAME])('refuses a name that is taken with 1: %s', async (name) => {
    const { status, output } = await newDevice(name);
    expect(output).toMatch(/^new-device: Cannot make [^\n]+: it exists already\n$/);
    expect(status).toBe(1);
  });

  it('prints its help', async () => {
    expect(await newDevice('--help')).toMatchObject({
      status: 0,
      output: expect.stringContaining('NAME'),
    });
  });

  it(
    'is linked by a frozen lock file without a network, builds, and passes its tests and the lint',
    async () => {
      expect(installed, installed.output).toMatchObject({ status: 0 });
      const linked = await install();
      expect(linked, linked.output).toMatchObject({ status: 0 });
      const built = await tool('tsc', '-b', PACKAGE);
      expect(built, built.output).toMatchObject({ status: 0 });
      const report = join(scratch, 'report.json');
      const reporters = ['--reporter=json', `--outputFile.json=${report}`];
      const tested = await tool('vitest', 'run', '--project', 'unit', ...reporters, PACKAGE);
      expect(tested, tested.output).toMatchObject({ status: 0 });
      const { numPassedTests, numTotalTests } = JSON.parse(readFileSync(report, 'utf8'));
      expect(numPassedTests).toBe(numTotalTests);
      // The compliance suite alone has more.
      expect(numTotalTests).toBeGreaterThan(80);
      const style = await tool('biome', 'check', PACKAGE, 'tsconfig.json');
      expect(style, style.output).toMatchObject({ status: 0 });
      const layers = await run(scratch, process.execPath, 'scripts/check-layers.mjs');
      expect(layers, layers.output).toMatchObject({ status: 0 });
    },
    TIMEOUT_MS,
  );
});
