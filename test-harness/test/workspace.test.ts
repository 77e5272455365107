import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { manifestProblems, pinnedDependencies } from '../../scripts/manifest-rules.mjs';
import { referenceProblems } from '../../scripts/references.mjs';
import { root, workspaceGlobs, workspacePackages } from '../../scripts/workspace.mjs';

let scratch: string;

function write(files: Record<string, unknown>): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(scratch, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  }
}

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'node-vmm-workspace-'));
  write({
    'pnpm-workspace.yaml':
      'packages:\n  # ours\n  - packages/*\n  - "bench" # one\n\ncatalog:\n  a: 1\n',
    'tsconfig.json': { files: [], references: [{ path: 'packages/b' }, { path: 'packages/a' }] },
    'tsconfig.tests.json': { include: ['vitest.config.ts', 'packages/*/test', 'bench/test'] },
    'packages/a/package.json': { name: '@x/a', version: '1.0.0' },
    'packages/a/tsconfig.json': {},
    'packages/b/package.json': {
      name: '@x/b',
      version: '1.0.0',
      dependencies: { '@x/a': 'workspace:^', koffi: '1' },
      devDependencies: { '@x/bench': 'workspace:^' },
    },
    'packages/b/tsconfig.json': { references: [{ path: '../a' }] },
    'packages/left-behind/dist/x.js': '',
    'bench/package.json': { name: '@x/bench', version: '1.0.0', private: true },
  });
});
afterEach(() => rmSync(scratch, { recursive: true }));

describe('the list of packages', () => {
  it('is that of pnpm', () => {
    const yaml = parse(readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8'));
    expect(workspaceGlobs()).toEqual(yaml.packages);
    expect(workspacePackages().map(({ path }) => path)).toContain('packages/xen-sys');
  });

  it('has what a glob matches and has a manifest', () => {
    const packages = workspacePackages(scratch);
    expect(packages.map(({ path }) => path)).toEqual(['bench', 'packages/a', 'packages/b']);
    expect(packages.map(({ published }) => published)).toEqual([false, true, true]);
  });

  it('is refused where an entry has a form that is not understood', () => {
    write({ 'pnpm-workspace.yaml': 'packages:\n  - "!packages/a"\n' });
    expect(() => workspacePackages(scratch)).toThrow(/neither DIRECTORY nor/);
    write({ 'pnpm-workspace.yaml': 'catalog:\n  a: 1\n' });
    expect(() => workspacePackages(scratch)).toThrow(/no list of packages/);
  });
});

describe('references of tsconfig files', () => {
  it('may stand in any order', () => {
    expect(referenceProblems(scratch)).toEqual([]);
  });

  it('are mended when a package is new', () => {
    write({
      'packages/c/package.json': { name: '@x/c', version: '1.0.0' },
      'packages/c/tsconfig.json': {},
      'packages/b/package.json': {
        name: '@x/b',
        version: '1.0.0',
        dependencies: { '@x/c': 'workspace:^' },
      },
    });
    const problems = referenceProblems(scratch);
    expect(problems.map(({ message }) => message)).toEqual([
      'tsconfig.json: references lacks packages/c',
      'packages/b/tsconfig.json: references lacks ../c, has ../a too much',
    ]);
    for (const { file, mended } of problems) write({ [file]: mended });
    expect(referenceProblems(scratch)).toEqual([]);
    expect(JSON.parse(problems[0]?.mended ?? '')).toEqual({
      files: [],
      references: [{ path: 'packages/b' }, { path: 'packages/a' }, { path: 'packages/c' }],
    });
  });

  it('stand once, and where tests are is what the globs say', () => {
    write({
      'packages/b/tsconfig.json': { references: [{ path: '../a' }, { path: '../a' }] },
      'tsconfig.tests.json': { include: ['packages/*/test', 'vitest.config.ts'] },
    });
    expect(referenceProblems(scratch).map(({ message }) => message)).toEqual([
      'tsconfig.tests.json: include lacks bench/test',
      'packages/b/tsconfig.json: references has ../a too much',
    ]);
  });
});

describe('manifests', () => {
  it('of this workspace have what they should', () => {
    expect(workspacePackages().flatMap(manifestProblems)).toEqual([]);
  });

  it('of what is published give ranges', () => {
    const { catalog } = parse(readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8')) as {
      catalog: Record<string, string>;
    };
    // As pnpm writes them when it packs.
    const packed = workspacePackages()
      .filter(({ published }) => published)
      .map(({ name, manifest }) => ({
        name,
        dependencies: Object.fromEntries(
          Object.entries(manifest.dependencies ?? {}).map(([dependency, range]) => [
            dependency,
            range === 'catalog:' ? (catalog[dependency] ?? '') : range.replace('workspace:', ''),
          ]),
        ),
      }));
    expect(packed.flatMap(pinnedDependencies)).toEqual([]);
    expect(pinnedDependencies({ name: 'a', dependencies: { b: '^1.2.0', c: '1.2.0' } })).toEqual([
      'a pins c to 1.2.0: give a range (^1.2.0)',
    ]);
  });

  it('READMEs that tell how to install say what is needed', () => {
    const silent = workspacePackages()
      .map(({ path }) => `${path}/README.md`)
      .filter((file) => {
        const text = existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8') : '';
        return (
          /^npm install @node-vmm/m.test(text) &&
          !/Node >= 20\.19; TypeScript >= 5\.7 with `@types\/node` >= 20\.19/.test(text)
        );
      });
    expect(silent).toEqual([]);
  });

  it.each(['keywords', 'author', 'license', 'engines', 'files', 'exports', 'sideEffects'])(
    'without %s are found',
    (field) => {
      const [subject] = workspacePackages().filter(({ published }) => published);
      if (subject === undefined) throw new Error('no package');
      const { [field]: _, ...manifest } = subject.manifest;
      expect(manifestProblems({ ...subject, manifest: manifest as never })).toEqual([
        expect.stringMatching(`^${subject.path}/package.json: ${field} must be `),
      ]);
    },
  );

  it("with another package's directory are found", () => {
    const subjects = workspacePackages().filter(({ published }) => published);
    const moved = subjects.slice(0, 1).map((subject) => ({ ...subject, path: 'packages/new' }));
    expect(moved.flatMap(manifestProblems)).toEqual([
      expect.stringMatching(/^packages\/new\/package\.json: repository must be/),
    ]);
  });
});
