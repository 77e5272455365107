import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Machine } from '../src/box/machine.ts';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { leftBehind, markedProcesses, RUN_MARK } from '../src/readme/marked-processes.ts';

const TIMEOUT = 120_000;
const BUILT = join(WORKSPACE_ROOT, 'test-harness/dist/box/run-command.js');

let scratch: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'nvrun-'));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

describe.skipIf(!existsSync(BUILT))(
  'a command of the host (built by tsc -b)',
  { timeout: TIMEOUT },
  () => {
    it.each(['SIGINT', 'SIGTERM'] as const)(
      'does not outlive who runs it, nor does what it has started: %s',
      async (signal) => {
        const program = join(scratch, 'program.mjs');
        const ready = join(scratch, 'ready');
        writeFileSync(
          program,
          `import { run } from ${JSON.stringify(BUILT)};
       process.on('${signal}', () => process.exit(3));
       await run(['sh', '-c', 'sleep 1000 & touch ${ready}; wait'], { log: ${JSON.stringify(join(scratch, 'log'))} });`,
        );
        const env = { ...process.env, [RUN_MARK]: scratch };
        const child = spawn(process.execPath, [program], { env, stdio: 'inherit' });
        await expect.poll(() => existsSync(ready), { timeout: TIMEOUT, interval: 20 }).toBe(true);
        // Node, the shell and what that has started.
        await expect.poll(() => markedProcesses(scratch).length).toBeGreaterThanOrEqual(3);
        child.kill(signal);
        expect(await once(child, 'exit')).toEqual([3, null]);
        expect(await leftBehind(scratch, TIMEOUT / 2)).toEqual([]);
      },
    );
  },
);

describe('a machine of the box', () => {
  it('is refused in one line where its sockets would have too long paths', () => {
    const deep = join(scratch, 'x'.repeat(60));
    mkdirSync(deep);
    const { TMPDIR, XDG_CACHE_HOME } = process.env;
    process.env['TMPDIR'] = deep;
    process.env['XDG_CACHE_HOME'] = scratch;
    try {
      expect(() => new Machine('none')).toThrow(
        /^Cannot make sockets below [^\n]+; set TMPDIR to a directory with at most 57 bytes$/,
      );
    } finally {
      if (TMPDIR === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = TMPDIR;
      if (XDG_CACHE_HOME === undefined) delete process.env['XDG_CACHE_HOME'];
      else process.env['XDG_CACHE_HOME'] = XDG_CACHE_HOME;
    }
    expect(readdirSync(deep)).toEqual([]);
  });
});
