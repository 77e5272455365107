// Closes a CI run: names every skipped test and prints the totals of vitest's JSON report. Fails when
// a test failed, when vitest did, when nothing ran, or when a skip is one that setup should prevent.
import { readFileSync } from 'node:fs';

const [file, status] = process.argv.slice(2);
let report;
try {
  report = JSON.parse(readFileSync(file, 'utf8'));
} catch (error) {
  console.error(`Cannot read vitest's report: ${error.message}`);
  process.exit(1);
}
const tests = report.testResults.flatMap((suite) => suite.assertionResults);
const count = (...states) => tests.filter((test) => states.includes(test.status)).length;
const skipped = tests.filter((test) => ['pending', 'skipped', 'todo'].includes(test.status));
for (const test of skipped) console.log(`skipped: ${test.fullName}`);

// Tests that need hardware which no package provides; everything else CI has set up.
const ALLOWED = /I2C_TEST_BUS/;
const unexpected = skipped.filter((test) => !ALLOWED.test(test.fullName));
const brokenSuites = report.testResults.filter(
  (suite) => suite.status === 'failed' && suite.assertionResults.length === 0,
);
for (const suite of brokenSuites) console.error(`did not run: ${suite.name}: ${suite.message}`);
if (unexpected.length > 0)
  console.error('These skips are failures: setup provides what they need.');

const passed = count('passed');
const failed = count('failed') + brokenSuites.length + unexpected.length;
console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
process.exit(failed > 0 || passed === 0 || status !== '0' ? 1 : 0);
