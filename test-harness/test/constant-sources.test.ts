import { join, relative } from 'node:path';
import { expect, it } from 'vitest';
import { workspacePackages } from '../../scripts/workspace.mjs';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { exportedConstants } from '../src/exported-constants.ts';

/**
 * Where a number comes from: a section of VIRTIO, a header or source file, a manual page, the vhost-user
 * specification, or an implementation that others follow. What nobody else decided says that it is ours.
 */
const SOURCE = /§\d|\w\.[hc]\b|\w\(\d\)|\bvhost-user\b|\brust-vmm\b|\bQEMU\b|\bpino\b|\bOurs\b/;

const entries = workspacePackages()
  .filter(({ published }) => published)
  .flatMap(({ directory, manifest }) =>
    Object.values(manifest.exports ?? {}).flatMap((target) => {
      const source = typeof target === 'string' ? undefined : target['@node-vmm/source'];
      return source === undefined ? [] : [join(directory, source)];
    }),
  );

it('every exported constant says in its hover text where it is from', { timeout: 120_000 }, () => {
  const constants = exportedConstants(entries);
  expect(constants.length).toBeGreaterThan(400);
  const silent = constants
    .filter(({ text }) => !SOURCE.test(text))
    .map(({ name, file, line }) => `${relative(WORKSPACE_ROOT, file)}:${line} ${name}`);
  expect(silent).toEqual([]);
});

it('finds one that does not', () => {
  expect(SOURCE.test('How long it takes, milliseconds.')).toBe(false);
  expect(SOURCE.test('§5.18.6, in `type`: the names of all lines.')).toBe(true);
});
