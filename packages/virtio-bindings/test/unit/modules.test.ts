import { readdirSync, readFileSync } from 'node:fs';
import * as bindings from '@node-vmm/virtio-bindings';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const modules = readdirSync(new URL('src/', root))
  .filter((name) => name !== 'index.ts')
  .map((name) => name.replace(/\.ts$/, ''));

/** A comment that says which section, or which header or protocol, the module is made from. */
const ORIGIN = /^\/\/ (VIRTIO 1\.3 §[\d.]+|vhost-user,) "[^"]+"/m;
const SOURCE = /§[\d.]+|linux\/virtio_|vhost-user/;
const EXPORT = /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?export (?:const|function) (\w+)/g;

describe.each(modules)('%s', (name) => {
  const text = read(`src/${name}.ts`);
  const exported = [...text.matchAll(EXPORT)];

  it('says what it is made from', () => {
    expect(text).toMatch(ORIGIN);
  });

  it('names a source for each of its exports', () => {
    const without = exported.filter(([, doc = '']) => !SOURCE.test(doc));
    expect(without.map(([, , symbol]) => symbol)).toEqual([]);
    expect(exported).not.toEqual([]);
  });

  it('is exported by itself and with the others', async () => {
    const manifest = JSON.parse(read('package.json')) as { exports: Record<string, unknown> };
    expect(manifest.exports).toHaveProperty([`./${name}`]);
    const alone = (await import(`../../src/${name}.ts`)) as Record<string, unknown>;
    expect(bindings).toMatchObject(alone);
  });

  it('has its numbers as numbers, and its structs in the upper case of their names', async () => {
    const alone = (await import(`../../src/${name}.ts`)) as Record<string, unknown>;
    for (const [symbol, value] of Object.entries(alone)) {
      if (typeof value === 'object') {
        expect((value as { name: string }).name.toUpperCase()).toBe(symbol);
      } else expect(typeof value).toMatch(/^(number|function)$/);
    }
  });
});

it('loads nothing but the struct tables', () => {
  const imported = modules.flatMap((name) =>
    [...read(`src/${name}.ts`).matchAll(/from '([^']+)'/g)].map(([, specifier]) => specifier),
  );
  expect(new Set(imported)).toEqual(new Set(['@node-vmm/vmm-sys-util/struct']));
  const struct = readFileSync(new URL('../vmm-sys-util/src/struct.ts', root), 'utf8');
  expect([...struct.matchAll(/from '([^']+)'/g)].map(([, specifier]) => specifier)).toEqual([
    'node:os',
  ]);
});

describe('§2.2 feature words', () => {
  it('have the bits that were given', () => {
    expect(bindings.featureWord()).toBe(0n);
    expect(bindings.featureWord(0, 28, bindings.VIRTIO_F_VERSION_1, 63)).toBe(
      0x8000_0001_1000_0001n,
    );
  });

  it.each([0, 31, 32, 63])('are asked for bit %d', (bit) => {
    expect(bindings.hasFeature(1n << BigInt(bit), bit)).toBe(true);
    expect(bindings.hasFeature(~(1n << BigInt(bit)) & 0xffff_ffff_ffff_ffffn, bit)).toBe(false);
  });
});
