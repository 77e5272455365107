// What CI makes of vitest's reports: what failed runs once more by itself, and nothing is kept quiet about.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScriptSandbox } from './script-sandbox.ts';

const TIMEOUT = 120_000;
const BOX_TEST = { fullName: '[arm64-4.17] the box boots', status: 'passed' };
/** A stand-in for vitest: says which words it got, and reports what the sandbox has for that file. */
const VITEST = `
import { appendFileSync, copyFileSync } from 'node:fs';
const [, file, ...options] = process.argv.slice(2);
appendFileSync('ran', JSON.stringify([file, options.slice(options.indexOf('-t'))]) + '\\n');
const [, out] = options.find((option) => option.startsWith('--outputFile')).split('=');
copyFileSync(file + '.report', out);
`;

interface Test {
  fullName: string;
  status: string;
}

let sandbox: ScriptSandbox;
beforeEach(() => {
  sandbox = new ScriptSandbox();
  sandbox.write('node_modules/vitest/vitest.mjs', VITEST);
  sandbox.write('reports/nodes.json', []);
});
afterEach(async () => await sandbox.close());

function suite(file: string, tests: readonly Test[], status = ''): object {
  const assertionResults = tests.map((test) => ({
    ancestorTitles: [],
    failureMessages: test.status === 'failed' ? [`AssertionError: ${test.fullName}\n  at`] : [],
    ...test,
  }));
  const failed = tests.some((test) => test.status === 'failed');
  const state = status === '' ? (failed ? 'failed' : 'passed') : status;
  const name = join(sandbox.checkout, file);
  return { name, status: state, message: 'it ended', assertionResults };
}

function first(...suites: object[]): void {
  const testResults = [suite('box.test.ts', [BOX_TEST]), ...suites];
  sandbox.write('reports/vitest.json', { testResults });
}

function second(file: string, tests: readonly Test[], status = ''): void {
  sandbox.write(`${file}.report`, { testResults: [suite(file, tests, status)] });
}

/** What CI ends with. */
async function totals(status: string): Promise<{ code: number | null; text: string }> {
  const again = await sandbox.run(['node', 'scripts/again.mjs', 'reports', '60']);
  expect(await again.closed, again.output).toBe(0);
  const run = await sandbox.run(['node', 'scripts/totals.mjs', 'reports', status]);
  return { code: await run.closed, text: run.output };
}

const ran = (): string => readFileSync(join(sandbox.checkout, 'ran'), 'utf8');
const one = (status: string): Test => ({ fullName: 'a device serves', status });

describe('what failed in CI', { timeout: TIMEOUT }, () => {
  it('is named and counts as passed when it passes by itself', async () => {
    first(suite('a.test.ts', [one('failed')]));
    second('a.test.ts', [one('passed')]);
    const { code, text } = await totals('1');
    expect(text).toContain(
      `unsteady, failed once and passed by itself: a device serves on Node ${process.versions.node}: AssertionError: a device serves`,
    );
    expect(text).toMatch(/^2 passed, 0 failed, 0 skipped$/m);
    expect(code).toBe(0);
  });

  it('is a failure when it fails again', async () => {
    first(suite('a.test.ts', [one('failed')]));
    second('a.test.ts', [one('failed')]);
    const { code, text } = await totals('1');
    expect(text).toContain('failed on Node');
    expect(text).toMatch(/^1 passed, 1 failed, 0 skipped$/m);
    expect(code).toBe(1);
  });

  it('is a failure when another test of the file fails then', async () => {
    const other = { fullName: 'another', status: 'passed' };
    first(suite('a.test.ts', [one('failed'), other]));
    second('a.test.ts', [one('passed'), { ...other, status: 'failed' }]);
    expect((await totals('1')).code).toBe(1);
  });

  it('runs again as a whole when none of its tests did', async () => {
    first(suite('a.test.ts', [], 'failed'));
    second('a.test.ts', [one('passed')]);
    const { code, text } = await totals('1');
    expect(text).toContain('a.test.ts on Node');
    expect(text).toMatch(/^2 passed, 0 failed, 0 skipped$/m);
    expect(code).toBe(0);
  });

  it('is a failure when a file could not end, once and again', async () => {
    first(suite('a.test.ts', [one('passed')], 'failed'));
    second('a.test.ts', [one('passed')], 'failed');
    const { code, text } = await totals('1');
    expect(text).toContain('did not run');
    expect(code).toBe(1);
  });

  it('runs nothing but the tests that failed where a file boots machines', async () => {
    const file = 'test-harness/test/box/a.test.ts';
    first(suite(file, [{ fullName: '[x] is (a) box', status: 'failed' }, one('passed')]));
    second(file, [{ fullName: '[x] is (a) box', status: 'passed' }, one('skipped')]);
    expect((await totals('1')).code).toBe(0);
    expect(JSON.parse(ran())).toEqual([file, ['-t', '\\[x\\] is \\(a\\) box']]);
  });

  it('is no chance when it is more than a few files', async () => {
    const files = ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}.test.ts`);
    first(...files.map((file) => suite(file, [one('failed')])));
    for (const file of files) second(file, [one('passed')]);
    const { code, text } = await totals('1');
    expect(text).toMatch(/^1 passed, 5 failed, 0 skipped$/m);
    expect(code).toBe(1);
    expect(ran).toThrow('ENOENT');
  });
});

describe('a failure of vitest that belongs to no test', { timeout: TIMEOUT }, () => {
  it('is a failure, with a test that passed by itself too', async () => {
    first(suite('a.test.ts', [one('failed')]));
    second('a.test.ts', [one('passed')]);
    sandbox.write('reports/vitest.unhandled', ['Error: nobody has caught it']);
    const { code, text } = await totals('1');
    expect(text).toContain('vitest, for no test: Error: nobody has caught it');
    expect(code).toBe(1);
  });

  it('is a failure when all tests have passed', async () => {
    first(suite('a.test.ts', [one('passed')]));
    expect((await totals('0')).code).toBe(0);
    expect((await totals('1')).code).toBe(1);
  });
});
