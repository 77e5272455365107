// `node scripts/again.mjs DIRECTORY SECONDS`: runs what failed in `npm test` and in scripts/nodes.mjs once
// more, by itself, on the same Node. What passes then is no pass that is kept quiet about: scripts/totals.mjs
// names it as unsteady. A test that another file's load has broken must not cost the whole run, and a test
// that is broken fails again. More than a few files are no chance: nothing is run again.
// Writes `again.json` for scripts/totals.mjs. SECONDS: what the run may still take.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { env, root } from './bootstrap.mjs';

const MAX_FILES = 4;
/** A file of the box boots a machine for each bed: of those only the tests that failed. */
const BOX = 'test-harness/test/box/';
const FILE_MS = 10 * 60_000;

const [directory, seconds] = process.argv.slice(2);
const deadline = performance.now() + Number(seconds) * 1000;
const read = (file) => JSON.parse(readFileSync(join(directory, file), 'utf8'));

/** Files with failures, of a report of vitest's; of one that was not written scripts/totals.mjs tells. */
function broken(report) {
  if (!existsSync(join(directory, report))) return [];
  return read(report)
    .testResults.filter(({ status }) => status === 'failed')
    .map(({ name, assertionResults }) => ({
      file: relative(root, name),
      failed: assertionResults.filter((test) => test.status === 'failed'),
    }));
}

const escaped = (text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

function runAgain({ version, program, file, failed }, at) {
  const report = `again-${at}.json`;
  const args = ['node_modules/vitest/vitest.mjs', 'run', file, '--reporter=default'];
  args.push('--reporter=json', `--outputFile.json=${join(directory, report)}`);
  if (file.startsWith(BOX) && failed.length > 0) {
    args.push('-t', failed.map(({ fullName }) => escaped(fullName)).join('|'));
  }
  console.log(`${file} on Node ${version}`);
  const PATH = `${dirname(program)}:${env.PATH}`;
  const timeout = Math.ceil(Math.min(FILE_MS, deadline - performance.now()));
  const { status } = spawnSync(program, args, {
    cwd: root,
    env: { ...env, PATH },
    stdio: 'inherit',
    timeout,
  });
  return status === null ? undefined : { version, file, report };
}

const { version: own } = process;
const found = [
  ...broken('vitest.json').map((each) => ({
    ...each,
    version: own.slice(1),
    program: process.execPath,
  })),
  ...read('nodes.json')
    .filter(({ unavailable }) => unavailable === undefined)
    .flatMap(({ version, program, report }) =>
      broken(report).map((each) => ({ ...each, version, program })),
    ),
];
const results = [];
if (found.length > MAX_FILES) {
  console.log(`${found.length} files failed: too many to be chance`);
} else {
  for (const [at, each] of found.entries()) {
    if (performance.now() >= deadline) console.log(`${each.file}: no time is left`);
    else results.push(runAgain(each, at));
  }
}
writeFileSync(
  join(directory, 'again.json'),
  JSON.stringify(results.filter((result) => result !== undefined)),
);
