import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../fixtures/fault-process.mjs', import.meta.url));
const FULL_TMPFS = 'mount -t tmpfs -o size=256k none "$1" && shift && exec "$@"';

/** A mount of one's own takes rights that not every user has. */
const CAN_MOUNT =
  spawnSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs none /mnt'], { stdio: 'ignore' })
    .status === 0;

describe('FaultGuard, in a process of its own', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'fault-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  function run(
    how: string,
    before: readonly string[] = [],
  ): [string, number | null, string | null] {
    const args = [SCRIPT, how, directory, ...before];
    const { stdout, status, signal } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return [stdout.trim(), status, signal];
  }

  it('lets a thread go on whose file was truncated', () => {
    expect(run('guarded')).toEqual(['7 0 true', 0, null]);
  });

  it.each(['outside', 'withdrawn', 'refused'])('leaves other faults to the default: %s', (how) => {
    expect(run(how)).toEqual(['about to fault', null, 'SIGBUS']);
  });

  it('leaves a signal that somebody sent to the default', () => {
    expect(run('sent')).toEqual(['', null, 'SIGBUS']);
  });

  it('passes other faults, and signals, to the handler that was there before', () => {
    expect(run('outside', ['handled'])).toEqual(['about to fault', 7, null]);
    expect(run('refused', ['handled'])).toEqual(['about to fault', 7, null]);
    expect(run('sent', ['handled'])).toEqual(['', 7, null]);
    expect(run('guarded', ['handled'])).toEqual(['7 0 true', 0, null]);
  });

  it('ignores what was ignored before, which a fault never is', () => {
    expect(run('sent', ['ignored'])).toEqual(['went on', 0, null]);
    expect(run('outside', ['ignored'])).toEqual(['about to fault', null, 'SIGBUS']);
  });

  it.skipIf(!CAN_MOUNT)('survives a full tmpfs, with what fitted still there (needs mount)', () => {
    const args = ['-m', 'sh', '-c', FULL_TMPFS, 'sh', directory, process.execPath, SCRIPT, 'full'];
    const { stdout, status } = spawnSync('unshare', [...args, directory], { encoding: 'utf8' });
    // All pages hold what was written, some of them in memory that nobody else sees.
    expect([stdout.trim(), status]).toEqual(['68 true', 0]);
  });
});
