import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Programs } from '../src/dispatch/programs.ts';

const exec = promisify(execFile);
// It starts programs that are its own files: those that were built.
const BUILT = new URL('../dist/dispatch.js', import.meta.url).href;

function compiles(): boolean {
  using programs = Programs.compile();
  return programs !== undefined;
}

describe.skipIf(!compiles())('npm run bench -- dispatch (needs gcc)', () => {
  it('measures every dispatcher by every kind of work, however little', async () => {
    const options = { rounds: 1, seconds: 0.03, guests: 5, threads: 2 };
    const code = `import { dispatch } from '${BUILT}'; await dispatch(${JSON.stringify(options)});`;
    const { stdout } = await exec(process.execPath, ['--input-type=module', '-e', code]);
    const rows = stdout.split('\n').filter((line) => / \d/.test(line));
    for (const work of [
      'read, idle',
      'read, 4 others now and then',
      'read, 4 others all the time',
      'kick, back-end, interrupt',
    ]) {
      for (const dispatcher of ['in C', 'dispatch threads', 'main thread']) {
        const found = rows.filter((row) => row.includes(`${work}: ${dispatcher} `));
        // For each placement.
        expect(found.length, `${work}: ${dispatcher}`).toBeGreaterThanOrEqual(1);
        for (const row of found) expect(row).not.toMatch(/NaN| - /);
      }
    }
    expect(stdout).toMatch(/back-end alone, no bridge +[\d.,]+ /);
    if (process.getuid?.() === 0) {
      expect(stdout).toMatch(/others all the time: dispatch threads, nice 0 .*\d\)/);
    }
    expect(stdout).toMatch(/5 guests on 2 threads/);
    expect(stdout).toMatch(/is replaced in [\d.,]+ ms \([\d.,]+\.\.[\d.,]+\)/);
  });
});
