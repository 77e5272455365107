import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CodedError } from '@node-vmm/vmm-sys-util/errors';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Declaration {
  /** Of the package. */
  readonly owner: string;
  readonly file: string;
  readonly name: string;
  readonly base: string | undefined;
}

function declarations(): Declaration[] {
  const directories = ['packages', 'apps'].flatMap((group) =>
    readdirSync(join(root, group)).map((name) => join(root, group, name)),
  );
  return [...directories, join(root, 'test-harness')].flatMap((directory) => {
    const manifest = join(directory, 'package.json');
    if (!existsSync(manifest)) return [];
    const { name: owner } = JSON.parse(readFileSync(manifest, 'utf8')) as { name: string };
    return readdirSync(join(directory, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .flatMap((path) => {
        const file = join(directory, 'src', path);
        const classes = readFileSync(file, 'utf8').matchAll(
          /^(?! *[*/]).*\bclass (\w+)(?:<[^{]*>)?(?: extends (\w+))?/gm,
        );
        return [...classes].map(([, name = '', base]) => ({ owner, file, name, base }));
      });
  });
}

const classes = declarations().filter(
  ({ name, base }) => name.endsWith('Error') || base?.endsWith('Error'),
);
const ours = new Set(classes.map(({ name }) => name));

it('finds the error classes', () => {
  expect(ours.size).toBeGreaterThanOrEqual(15);
  expect([...ours]).toEqual(expect.arrayContaining(['SysError', 'XenSysError', 'BoxError']));
});

it('has one class that extends Error', () => {
  const others = classes.filter(({ base = 'Object' }) => !ours.has(base));
  expect(others.map(({ name }) => name)).toEqual(['CodedError']);
});

it.each(classes)('$name has its own brand, and `is` from CodedError', async (declaration) => {
  const { owner, file, name } = declaration;
  expect(name).toMatch(/Error$/);
  const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  const type = module[name] as typeof CodedError;
  expect(type, 'exported').toBeTypeOf('function');
  expect(type.brand).toBe(`${owner}/${name}`);
  expect(type.is).toBe(CodedError.is);
  expect(type.is(Object.create(type.prototype))).toBe(true);
});
