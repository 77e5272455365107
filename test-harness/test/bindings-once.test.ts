import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import * as bindings from '@node-vmm/virtio-bindings';
import { expect, it } from 'vitest';
import { workspacePackages } from '../../scripts/workspace.mjs';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';

const HOME = join('packages', 'virtio-bindings');
const NOT_OURS = new Set(['node_modules', 'dist', '.turbo']);
const DECLARATION = /\b(?:const|let|function) (\w+)\b/g;
/** How the specification names numbers: one that `src` needs belongs to the bindings. */
const OF_THE_SPECIFICATION = /^(VIRTIO_|VIRTQ|XEN_MMAP_|VRING_(DESC|AVAIL|USED|PACKED)_)/;

function* sources(directory: string): Generator<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && !NOT_OURS.has(entry.name)) yield* sources(path);
    else if (entry.isFile() && /\.(ts|mjs)$/.test(entry.name)) yield path;
  }
}

it('no other package declares what virtio-bindings has, nor numbers that it should have', () => {
  const names = new Set(Object.keys(bindings));
  const again = workspacePackages()
    .flatMap(({ directory }) => [...sources(directory)])
    .map((path) => [relative(WORKSPACE_ROOT, path), readFileSync(path, 'utf8')] as const)
    .filter(([path]) => !path.startsWith(HOME))
    .flatMap(([path, text]) =>
      [...text.matchAll(DECLARATION)]
        .map(([, name = '']) => name)
        .filter(
          (name) => names.has(name) || (path.includes('/src/') && OF_THE_SPECIFICATION.test(name)),
        )
        .map((name) => `${path}: ${name}`),
    );
  expect(again).toEqual([]);
});
