import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const sources = new URL('../../src/', import.meta.url);

function imports(file: string): string[] {
  const text = readFileSync(new URL(file, sources), 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(
    ([, specifier = '']) => specifier,
  );
}

const files = readdirSync(sources, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
);

it.each(files)('%s knows no hypervisor', (file) => {
  const hypervisors = /^@node-vmm\/(xen-|kvm-)|\/(xen|kvm|simulated)$/;
  expect(imports(file).filter((specifier) => hypervisors.test(specifier))).toEqual([]);
});

it('supported-devices loads numbers alone, so that a command line can name them at once', () => {
  expect(imports('supported-devices.ts')).toEqual(['@node-vmm/virtio-bindings/device-types']);
});
