import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FixtureProcess } from '../support/fixture-process.ts';

const DAEMON = fileURLToPath(new URL('../fixtures/daemon.mjs', import.meta.url));

describe('A daemon loads', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'cli-'));
    execFileSync('mkfifo', [join(directory, 's0.fails')]);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** URLs of all modules of a daemon and its workers, as Node's own coverage lists them. */
  async function loaded(...args: string[]): Promise<string> {
    const coverage = join(directory, 'coverage');
    const argv = ['-s', join(directory, 's'), ...args];
    process.env['NODE_V8_COVERAGE'] = coverage;
    let daemon: FixtureProcess;
    try {
      daemon = new FixtureProcess(argv, 'pipe', [], DAEMON).readStderr();
    } finally {
      delete process.env['NODE_V8_COVERAGE'];
    }
    await daemon.until(() => daemon.stderr.includes('device ready'));
    expect(await daemon.end()).toEqual({ code: 0, signal: null });
    return readdirSync(coverage)
      .map((file) => readFileSync(join(coverage, file), 'utf8'))
      .join('\n');
  }

  it('nothing of Xen when it serves others alone', async () => {
    const urls = await loaded('--xen-mmap', 'off');
    // In the worker as well: its side of the framework is there.
    expect(urls).toContain('vhost-user-backend/dist/worker/vring.js');
    expect(urls).not.toMatch(/packages\/xen-sys\//);
  });

  it('it where memory of Xen domains is to be mapped', async () => {
    expect(await loaded('--xen-mmap', 'on')).toMatch(/packages\/xen-sys\//);
  });
});
