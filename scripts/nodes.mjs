// `node scripts/nodes.mjs DIRECTORY`: the main job and unit tests of the packages that have to do with Node
// itself on the newest Node of each line that we support, but for the line of the Node that runs this
// (`npm test` does it); and the main job and the programs of READMEs on the oldest Node. Writes vitest's
// reports and `nodes.json`, which scripts/totals.mjs reads; a Node that npm does not get is a named skip.
// `npm run test:nodes`: the same with the unit tests of every package; exit status 1 when one fails.
// What is built stays as it is: one build serves all.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { bootstrap, env, root } from './bootstrap.mjs';

const NODES = ['20.20.2', '22.23.3', '24.21.0', '26.10.0'];
/** What users are told: `engines` of package.json, which READMEs repeat. */
const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const OLDEST = engines.node.replace('>=', '');
// What tests the repository itself is the same on every Node.
const PACKAGES = ['packages/', 'apps/'];
const NEAR_NODE = [
  'vmm-sys-util',
  'vhost-user-backend',
  'vhost-device-cli',
  'vhost-supervisor',
].map((name) => `packages/${name}/`);
const READMES = ['test-harness/test/readme-blocks.test.ts'];

// A Node that hangs in either is a failure, not the end of CI.
const JOB_MS = 2 * 60_000;
const TESTS_MS = 20 * 60_000;

const { XDG_CACHE_HOME: base } = process.env;
const cache = join(base?.startsWith('/') ? base : join(homedir(), '.cache'), 'node-vmm');
const [given] = process.argv.slice(2);
const whole = given === undefined;
if (whole) await bootstrap();
const reports = given ?? mkdtempSync(join(tmpdir(), 'node-vmm-nodes-'));
const major = (version) => version.split('.')[0];

/** The official binary as npm package, once for all runs; throws what npm says when it has none. */
function install(version) {
  const name = `node-linux-${process.arch}`;
  const directory = join(cache, `node-${version}-${process.arch}`);
  const program = join(directory, 'node_modules', name, 'bin', 'node');
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  // Under another name until it is complete.
  const work = mkdtempSync(`${directory}.`);
  try {
    const options = [
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ];
    const args = ['install', '--prefix', work, ...options, `${name}@${version}`];
    const { status, stderr } = spawnSync('npm', args, { encoding: 'utf8' });
    if (status !== 0) {
      const reason = /^npm error code (\S+)/m.exec(stderr)?.[1] ?? `exit status ${status}`;
      throw new Error(`npm install ${name}@${version}: ${reason}`);
    }
    if (!existsSync(program)) renameSync(work, directory);
    return program;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Runs a script of ours; what it starts by name gets the same Node. */
function run(program, args, options) {
  const PATH = `${dirname(program)}${delimiter}${env.PATH}`;
  return spawnSync(program, args, { cwd: root, ...options, env: { ...env, ...options.env, PATH } });
}

/** @param which - files of tests, as vitest takes them */
function testOn(version, which) {
  let program;
  try {
    program = install(version);
  } catch (error) {
    return { version, unavailable: error.message };
  }
  const started = performance.now();
  const job = run(program, ['apps/demo/dist/main.js'], { encoding: 'utf8', timeout: JOB_MS });
  if (job.status !== 0) console.error(job.stdout, job.stderr);
  const report = join(reports, `node-${version}.json`);
  const reporters = ['--reporter=dot', '--reporter=./scripts/unhandled.mjs'];
  reporters.push('--reporter=json', `--outputFile.json=${report}`);
  const NODE_VMM_UNHANDLED = join(reports, `node-${version}.unhandled`);
  const args = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--project',
    'unit',
    ...which,
    ...reporters,
  ];
  const { status } = run(program, args, {
    stdio: 'inherit',
    timeout: TESTS_MS,
    env: { NODE_VMM_UNHANDLED },
  });
  const seconds = Math.round((performance.now() - started) / 1000);
  return { version, program, job: job.status, tests: status, report: basename(report), seconds };
}

const results = [];
const lines = NODES.filter((version) => major(version) !== major(process.versions.node));
const tests = whole ? PACKAGES : NEAR_NODE;
for (const [version, which] of [[OLDEST, READMES], ...lines.map((line) => [line, tests])]) {
  console.log(`Node ${version}`);
  const result = testOn(version, which);
  if (result.unavailable !== undefined) console.log(`  ${result.unavailable}`);
  results.push(result);
}
if (whole) {
  for (const { version, unavailable, job, tests: status } of results) {
    const said = (what, code) => `${what} ${code === 0 ? 'passed' : 'failed'}`;
    console.log(
      `Node ${version}: ${unavailable ?? `${said('npm start', job)}, ${said('tests', status)}`}`,
    );
  }
  const failed = ({ unavailable, job, tests: status }) =>
    unavailable === undefined && (job !== 0 || status !== 0);
  if (results.some(failed)) process.exitCode = 1;
  rmSync(reports, { recursive: true });
} else writeFileSync(join(reports, 'nodes.json'), JSON.stringify(results));
