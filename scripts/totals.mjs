// Closes a CI run: says what ran on which Node and which bed, names every skipped test and prints the
// totals of vitest's JSON reports. Fails when a test failed, when vitest did, when nothing ran, when no
// bed is there, or when a skip is one that setup should prevent.
// `node scripts/totals.mjs DIRECTORY STATUS`: `vitest.json` of `npm test`, its exit status, and what
// scripts/nodes.mjs wrote.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

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
const reports = [main, ...nodes.flatMap(({ results }) => results ?? [])];
const suites = reports.flatMap((report) => report.testResults);
const tests = reports.flatMap(assertions);
const count = (list, ...states) => list.filter((test) => states.includes(test.status)).length;

let brokenNodes = 0;
const sum = (list) =>
  `${count(list, 'passed')} passed, ${count(list, 'failed')} failed, ${count(list, ...SKIPPED)} skipped`;
console.log(`Node ${process.versions.node.padEnd(12)} ${sum(assertions(main))}: npm test`);
for (const { version, unavailable, job, tests: vitest, results, seconds } of nodes) {
  if (unavailable !== undefined) continue;
  const how = job === 0 ? 'npm start passed' : 'npm start failed';
  console.log(`Node ${version.padEnd(12)} ${sum(assertions(results))}, ${how}, ${seconds} s`);
  // A failed test is counted as such; vitest may fail without one.
  if (job !== 0 || (vitest !== 0 && count(assertions(results), 'failed') === 0)) brokenNodes += 1;
}

// Box tests have their bed's name in brackets in front.
const beds = new Map();
for (const test of tests) {
  const bed = /^\[((?:arm64|x86_64)-[\w.-]+)\]/.exec(test.fullName)?.[1];
  if (bed !== undefined) beds.set(bed, [...(beds.get(bed) ?? []), test]);
}
let bedsThere = 0;
for (const [bed, list] of beds) {
  const passed = count(list, 'passed');
  if (passed > 0) bedsThere += 1;
  console.log(`bed ${bed.padEnd(13)} ${sum(list)}`);
}

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
  (suite) => suite.status === 'failed' && suite.assertionResults.length === 0,
);
// Here once more, where a log that is cut short still has it.
const named = [{ version: process.versions.node, results: main }, ...nodes];
for (const { version, results } of named) {
  for (const test of results === undefined ? [] : assertions(results)) {
    if (test.status !== 'failed') continue;
    const [reason = ''] = test.failureMessages.join('\n').split('\n');
    console.error(`failed on Node ${version}: ${test.fullName}: ${reason}`);
  }
}
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
  Number(bedsThere === 0);
console.log(`${passed} passed, ${failed} failed, ${skipped.length + missing.length} skipped`);
process.exit(failed > 0 || passed === 0 || status !== '0' ? 1 : 0);
