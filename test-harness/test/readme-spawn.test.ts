import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { codeBlocks } from '../src/readme/blocks.ts';
import { start } from '../src/readme/run-block.ts';

const README = 'apps/xen-vhost-master/README.md';
/** The commands of the README as they are here: without Xen, and with an adapter 0 that has a chip. */
const COMMANDS = {
  'xen-vhost-master': 'exec node apps/xen-vhost-master/test/fixtures/simulated-bridge.mjs "$@"',
  // A wrapper, as commands that npm installs may be.
  'vhost-device-i2c':
    'node packages/vhost-device-i2c/dist/main.js --simulate=ds1338@0x20 "$@"\nexit $?',
};

const text = readFileSync(join(WORKSPACE_ROOT, README), 'utf8');
const examples = codeBlocks(README, text)
  .filter(({ language, code }) => language === 'sh' && code.includes('--spawn'))
  .map(({ code }) => code.trim());

describe('an example of a README that starts back-ends', () => {
  let bin: string;

  beforeEach(() => {
    bin = mkdtempSync(join(tmpdir(), 'node-vmm-'));
    for (const [name, command] of Object.entries(COMMANDS)) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${command}\n`);
      chmodSync(join(bin, name), 0o755);
    }
  });
  afterEach(() => rmSync(bin, { recursive: true }));

  it('is there', () => {
    expect(examples).toEqual([expect.stringMatching(/^xen-vhost-master .*--spawn/)]);
  });

  it.each(
    examples.flatMap((example) => [['SIGTERM', example] as const, ['SIGKILL', example] as const]),
  )('leaves nothing running after %s: %s', async (signal, example) => {
    const run = start(['sh', '-c', `TMPDIR=${bin}; export TMPDIR; exec ${example}`], {
      cwd: WORKSPACE_ROOT,
      bin,
    });
    await expect.poll(() => run.output()).toMatch(/"msg":"device ready"[\s\S]*"msg":"device up"/);
    run.end(signal);
    const killed = signal === 'SIGKILL';
    expect(await run.ended).toMatchObject({
      code: killed ? null : 0,
      signal: killed ? signal : null,
      left: [],
    });
    // The directory of its sockets goes, too, where it could be done.
    if (!killed) expect(readdirSync(bin).sort()).toEqual(Object.keys(COMMANDS).sort());
  });
});
