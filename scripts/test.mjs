// `npm test`: everything that needs no root; then the box tests where `npm run box:setup` was done.
// With arguments: `npm test -- <vitest filter or option> ...`.
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { misused } from './arguments.mjs';
import { bootstrap, env, root, run } from './bootstrap.mjs';

const NAME = 'npm test';
const USAGE = `Usage: npm test -- [<filter> ...] [<option of vitest> ...]

Installs and builds what is missing, then runs the tests: those on real Xen and QEMU, too, once
npm run box:setup was done. A filter is a part of a test file's path.

  -t <pattern>      tests whose names match
  --project <name>  unit or box
  -h, --help        print this; npx vitest run --help has all options
`;
/** Tests have sockets some directories below it; a socket's path has 107 bytes at most. */
const TMPDIR_MAX = 50;

/** Vitest says it by a stack trace; it knows all of its options where it has least to do. */
function refuseUnknownOptions() {
  const list = ['list', '--filesOnly', ...args];
  const { stderr } = spawnSync('vitest', list, { cwd: root, env, encoding: 'utf8' });
  const problem = /^CACError: (.*)$/m.exec(stderr)?.[1];
  if (problem !== undefined) misused(NAME, problem);
}

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const directory = tmpdir();
if (Buffer.byteLength(directory) > TMPDIR_MAX) {
  console.error(
    `${NAME}: Cannot make sockets below ${directory}: their paths would be too long; set TMPDIR to a directory whose path has at most ${TMPDIR_MAX} bytes`,
  );
  process.exit(1);
}

await bootstrap();
if (args.some((argument) => argument.startsWith('-'))) refuseUnknownOptions();

const { boxStatus, qemuStatus } = await import(`${root}/test-harness/dist/box/status.js`);
const box = boxStatus();
const any = box.ready || qemuStatus().ready;
const report = process.env.NODE_VMM_TEST_REPORT;
const options = ['--reporter=./scripts/skips.mjs'];
if (!args.some((argument) => argument.startsWith('--reporter'))) options.push('--reporter=default');
if (report) {
  options.push(
    '--reporter=json',
    `--outputFile.json=${report}`,
    '--reporter=./scripts/unhandled.mjs',
  );
}
if (!any) options.push('--project', 'unit');
await run('vitest', ['run', ...args, ...options], {
  env: any ? env : { ...env, NODE_VMM_WITHOUT_BOX: box.reason },
});
