// The table of beds that a CI run ends with: what ran on which, and what did not and why.

/** In front of tests that run on several Xens. */
const BED = /^\[((?:arm64|x86_64)-[\w.-]+)\]/;
/** Behind a suite's title or a test's. */
const REASON = / \(skipped, \w+: (.*)\)$/s;
const SKIPPED = ['pending', 'skipped', 'todo'];
/** Longer reasons are the ends of logs; the titles have them whole. */
const MAX_REASON = 200;
const NO_REASON = 'no reason is given';

/** The outermost reason: a bed that is not there before what its tests would have needed. */
function reasonOf({ ancestorTitles, title, fullName }) {
  for (const name of [...ancestorTitles, title ?? fullName]) {
    const reason = REASON.exec(name)?.[1]?.replaceAll(/\s+/g, ' ');
    if (reason !== undefined)
      return reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON)}...` : reason;
  }
  return NO_REASON;
}

/**
 * What became of the tests of each bed.
 *
 * @param tests of vitest's reports; those that run on no bed are left out
 * @returns {{ bed: string, passed: number, failed: number, reasons: Map<string, number> }[]} in the order of
 * the reports; `reasons`: how many tests were skipped for each
 */
export function bedResults(tests) {
  const beds = new Map();
  for (const test of tests) {
    const bed = BED.exec(test.fullName)?.[1];
    if (bed === undefined) continue;
    if (!beds.has(bed)) beds.set(bed, { bed, passed: 0, failed: 0, reasons: new Map() });
    const row = beds.get(bed);
    if (SKIPPED.includes(test.status)) {
      const reason = reasonOf(test);
      row.reasons.set(reason, (row.reasons.get(reason) ?? 0) + 1);
    } else row[test.status === 'passed' ? 'passed' : 'failed'] += 1;
  }
  return [...beds.values()];
}

/**
 * The lines of the table, its heading first; none without a bed.
 *
 * @param {ReturnType<typeof bedResults>} results
 */
export function bedTable(results) {
  if (results.length === 0) return [];
  const width = Math.max(...results.map(({ bed }) => bed.length));
  const line = (bed, passed, failed, skipped, why) =>
    `${bed.padEnd(width)}  ${passed.padStart(6)}  ${failed.padStart(6)}  ${skipped.padStart(7)}  ${why}`;
  const rows = results.map(({ bed, passed, failed, reasons }) => {
    const why = [...reasons].map(([reason, times]) => `${times} x ${reason}`);
    const skipped = [...reasons.values()].reduce((sum, times) => sum + times, 0);
    const [only] = reasons.keys();
    const absent = passed + failed === 0 && reasons.size === 1;
    const text = absent ? `did not run: ${only}` : why.join('; ');
    return line(bed, `${passed}`, `${failed}`, `${skipped}`, text).trimEnd();
  });
  return [line('bed', 'passed', 'failed', 'skipped', 'what did not run, and why'), ...rows];
}
