// QEMU's docs/interop/vhost-user.rst, "Backend program conventions": each back-end comes with a file by
// which management software finds it, as the schema `@VhostUserBackend` of vhost-user.json has it.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { workspacePackages } from '../../scripts/workspace.mjs';

const daemons = workspacePackages()
  .map((subject) => ({ ...subject, program: basename(subject.path) }))
  .filter(({ program, manifest }) => manifest.bin?.[program] !== undefined)
  .filter(({ program }) => program.startsWith('vhost-device-'));

it('there are daemons to look at', () => {
  expect(daemons.map(({ program }) => program)).toContain('vhost-device-i2c');
});

describe.each(daemons)('$program', ({ program, directory, manifest }) => {
  const file = join(directory, 'share/vhost-user', `50-${program}.json`);

  it('has a file for management software, which npm ships', () => {
    expect(existsSync(file), file).toBe(true);
    expect(manifest['files']).toContain('share');
    const { description, type, binary, ...more } = JSON.parse(readFileSync(file, 'utf8'));
    expect(more).toEqual({});
    expect(description).toMatch(/^node-vmm /);
    expect(type).toMatch(/^[a-z0-9-]+$/);
    expect(isAbsolute(binary) && basename(binary)).toBe(program);
  });

  it('says of itself what the file says', () => {
    const main = join(directory, manifest.bin?.[program] ?? '');
    const { status, stdout } = spawnSync(process.execPath, [main, '--print-capabilities', '-x'], {
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    const { type } = JSON.parse(readFileSync(file, 'utf8'));
    expect(JSON.parse(stdout)).toEqual({ type, features: [] });
  });
});
