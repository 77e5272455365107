import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { takeLock } from '../src/box/lock.ts';

describe('a lock between processes', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'node-vmm-lock-'));
    path = join(directory, 'lock');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('is taken over from a dead holder, and released', async () => {
    writeFileSync(path, String(spawnSync('true').pid));
    const release = await takeLock(path);
    expect(readFileSync(path, 'utf8')).toBe(String(process.pid));
    release();
    release();
    expect(readdirSync(directory)).toEqual([]);
  });

  it("is not released when it is somebody else's by now", async () => {
    const release = await takeLock(path);
    writeFileSync(path, '1');
    release();
    expect(readdirSync(directory)).toEqual(['lock']);
    expect(readFileSync(path, 'utf8')).toBe('1');
  });
});
