// Closes a CI run: says what ran on which Node and which bed, names every skipped test and prints the
// totals of vitest's JSON reports. Fails when a test failed, when vitest did, when nothing ran, when no
// bed is there, or when a skip is one that setup should prevent.
// `node scripts/totals.mjs DIRECTORY STATUS`: `vitest.json` of `npm test`, its exit status, and what
// scripts/nodes.mjs and scripts/again.mjs wrote; what failed and passed when it ran again is named.
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { bedResults, bedTable } from './bed-table.mjs';
import { root } from './bootstrap.mjs';

const [directory, status] = process.argv.slice(2);
function read(file) {
  try {
    return JSON.parse(readFileSync(join(directory, file), 'utf8'));
  } catch (error) {
    console.error(`Cannot read vitest's report: ${error.message}`);
    process.exit(1);
  }
}
const SKIPPED = ['pending', 'skipped', 'todo'];
const assertions = (report) => report.testResults.flatMap((suite) => suite.assertionResults);
const main = read('vitest.json');
const nodes = read('nodes.json').map((node) =>
  node.unavailable === undefined ? { ...node, results: read(node.report) } : node,
);
/** Errors that belong to no test: a run that passes has none. */
const unhandled = (name) => {
  const file = join(directory, `${name}.unhandled`);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
};
const ran = [
  { version: process.versions.node, results: main, errors: unhandled('vitest') },
  ...nodes
    .filter(({ results }) => results !== undefined)
    .map((node) => ({ ...node, errors: unhandled(`node-${node.version}`) })),
];

for (const each of ran) {
  each.failing = each.results.testResults.some((suite) => suite.status === 'failed');
}

// What ran again, by itself: the first failure is named, the second result counts.
const unsteady = [];
for (const { version, file, report } of existsSync(join(directory, 'again.json'))
  ? read('again.json')
  : []) {
  const { results } = ran.find((each) => each.version === version);
  const suite = results.testResults.find(({ name }) => relative(root, name) === file);
  const [second] = existsSync(join(directory, report)) ? read(report).testResults : [];
  if (second === undefined) continue;
  const first = suite.assertionResults.filter(({ status: state }) => state === 'failed');
  if (first.length === 0 && second.status === 'passed') {
    unsteady.push(`${file} on Node ${version}: did not run: ${suite.message}`);
    Object.assign(suite, second);
  }
  for (const test of first) {
    const again = second.assertionResults.find(({ fullName }) => fullName === test.fullName);
    if (again?.status !== 'passed') continue;
    const [reason = ''] = test.failureMessages.join('\n').split('\n');
    unsteady.push(`${test.fullName} on Node ${version}: ${reason}`);
    test.status = 'passed';
  }
  // One that failed only now keeps its file failed.
  if (first.every(({ status: state }) => state === 'passed')) suite.status = second.status;
}

const reports = [main, ...nodes.flatMap(({ results }) => results ?? [])];
const suites = reports.flatMap((report) => report.testResults);
const tests = reports.flatMap(assertions);
const count = (list, ...states) => list.filter((test) => states.includes(test.status)).length;

let brokenNodes = 0;
const sum = (list) =>
  `${count(list, 'passed')} passed, ${count(list, 'failed')} failed, ${count(list, ...SKIPPED)} skipped`;
console.log(`Node ${process.versions.node.padEnd(12)} ${sum(assertions(main))}: npm test`);
for (const { version, unavailable, job, results, seconds } of nodes) {
  if (unavailable !== undefined) continue;
  const how = job === 0 ? 'npm start passed' : 'npm start failed';
  console.log(`Node ${version.padEnd(12)} ${sum(assertions(results))}, ${how}, ${seconds} s`);
  if (job !== 0) brokenNodes += 1;
}
// A failed test is counted as such; vitest may fail without one.
const lost = ran.filter(
  ({ tests: vitest = Number(status), failing, errors }) =>
    errors.length > 0 || (vitest !== 0 && !failing),
);
for (const { version, errors } of lost) {
  console.error(`failed on Node ${version}: vitest, for no test: ${errors.join('; ')}`);
}

const beds = bedResults(tests);
const bedsThere = beds.filter(({ passed }) => passed > 0).length;

const skipped = tests.filter((test) => SKIPPED.includes(test.status));
// Tests of one suite that share a reason are one line.
const reasons = new Map();
for (const test of skipped) {
  const [suite = ''] = test.ancestorTitles;
  const shared = suite.includes('(skipped');
  const name = shared ? suite : test.fullName;
  reasons.set(name, (reasons.get(name) ?? 0) + 1);
}
for (const [name, times] of reasons)
  console.log(`skipped: ${name}${times > 1 ? ` x ${times}` : ''}`);
const missing = nodes.filter(({ unavailable }) => unavailable !== undefined);
for (const { version, unavailable } of missing)
  console.log(`skipped: Node ${version} (skipped, unavailable: ${unavailable})`);

// What needs hardware that no package provides, what the mirror does not carry or a bed does not have,
// and what is of one architecture. Everything else CI has set up.
const ALLOWED = /I2C_TEST_BUS|\(skipped, unavailable: |\(only x86 |\(Arm can be\)/;
const unexpected = skipped.filter((test) => !ALLOWED.test(test.fullName));
const brokenSuites = suites.filter(
  (suite) =>
    suite.status === 'failed' && suite.assertionResults.every((test) => test.status !== 'failed'),
);
// Here once more, where a log that is cut short still has it.
for (const { version, results } of ran) {
  for (const test of assertions(results)) {
    if (test.status !== 'failed') continue;
    const [reason = ''] = test.failureMessages.join('\n').split('\n');
    console.error(`failed on Node ${version}: ${test.fullName}: ${reason}`);
  }
}
for (const text of unsteady) console.error(`unsteady, failed once and passed by itself: ${text}`);
for (const suite of brokenSuites) console.error(`did not run: ${suite.name}: ${suite.message}`);
for (const test of unexpected) {
  console.error(`This skip is a failure, setup provides what it needs: ${test.fullName}`);
}
if (bedsThere === 0) console.error('No bed ran a test: that is a failure.');

const passed = count(tests, 'passed');
const failed =
  count(tests, 'failed') +
  brokenSuites.length +
  unexpected.length +
  brokenNodes +
  lost.length +
  Number(bedsThere === 0);
for (const line of bedTable(beds)) console.log(line);
console.log(`${passed} passed, ${failed} failed, ${skipped.length + missing.length} skipped`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
