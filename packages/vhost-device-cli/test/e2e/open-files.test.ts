// What is said to be needed is enough, under a limit of just that.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { FrontEnd, Guest, GuestRing, negotiate } from '@node-vmm/vhost-user-backend/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const DAEMON = fileURLToPath(new URL('../fixtures/plain-daemon.mjs', import.meta.url));
const GUESTS = 6;
const QUEUES = 2;
const LIMITED = ['-c', 'ulimit -n "$0" && exec "$@"'];
const PATIENCE = { timeout: 60_000 };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cli-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const words = (): string[] => [execPath, DAEMON, '-s', join(directory, 's'), '-c', `${GUESTS}`];

function refused(limit: number, ...more: string[]): number {
  const run = spawnSync('sh', [...LIMITED, `${limit}`, ...words(), ...more], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect(run.stderr).toMatch(
    /^fixture: Cannot serve 6 guests: it can take \d+ open files, and this process may have \d+; raise the limit [^\n]*\n$/,
  );
  expect(run.status).toBe(1);
  return Number(/take (\d+) open/.exec(run.stderr)?.[1]);
}

describe('with a limit on open files', { timeout: 120_000 }, () => {
  it('says at the start what is needed, which more threads raise', () => {
    const needed = refused(64);
    expect(refused(needed - 1)).toBe(needed);
    expect(refused(64, '--workers', '3')).toBeGreaterThan(needed);
    expect(refused(64, '--control-socket', join(directory, 'c'))).toBeGreaterThan(needed);
  });

  it('serves every guest with what is needed', async () => {
    const needed = refused(64);
    const daemon = spawn('sh', [...LIMITED, `${needed}`, ...words()], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    const guests: { close(): void }[] = [];
    try {
      await expect.poll(() => log.split('device ready').length - 1, PATIENCE).toBe(GUESTS);
      for (let i = 0; i < GUESTS; i++) {
        const guest = new Guest();
        const frontEnd = new FrontEnd(join(directory, `s${i}`));
        guests.push(guest, frontEnd);
        await negotiate(frontEnd, guest);
        for (let index = 0; index < QUEUES; index++) {
          const ring = new GuestRing(guest, index);
          guests.push(ring);
          ring.setUp(frontEnd);
          expect(await ring.enable(frontEnd)).toBe(0);
          ring.submit([1]);
          expect(await ring.collect(frontEnd.poller, 1)).toHaveLength(1);
        }
      }
      // As a measure of the reckoning: it is not far from what there is.
      const open = readdirSync(`/proc/${daemon.pid}/fd`).length;
      expect(open).toBeLessThanOrEqual(needed);
      expect(open).toBeGreaterThan(needed / 3);
    } finally {
      for (const each of guests.reverse()) each.close();
      const ended = new Promise((resolve) => daemon.on('exit', resolve));
      daemon.kill();
      await ended;
    }
    expect(log).not.toContain('EMFILE');
  });
});
