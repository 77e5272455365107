import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { unavailable } from './fixtures/test-guest.ts';

const exec = promisify(execFile);
const BENCH = fileURLToPath(new URL('../bench/requests.bench.mjs', import.meta.url));
const compiler = spawnSync('cc', ['--version']).status === 0;

describe.skipIf(unavailable)(`whole requests of a guest ${unavailable ?? 'on /dev/kvm'}`, () => {
  it('are made by both kinds of notification, in C as well where there is a compiler', async () => {
    const env = { ...process.env, BENCH_ROUNDS: '2', BENCH_REQUESTS: '50' };
    const { stdout, stderr } = await exec(process.execPath, [BENCH], { env, timeout: 100_000 });
    expect(stderr).toBe('');
    const against = compiler ? String.raw`; C [\d.]+ us: [\d.]+ x .*` : '';
    for (const kind of ['ioeventfd and irqfd', 'user-space exits']) {
      expect(stdout).toMatch(
        new RegExp(`whole request, ${kind}, \\S+ core +[\\d.]+ us${against}\n`),
      );
    }
  });
});
