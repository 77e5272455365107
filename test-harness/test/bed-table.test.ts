// What CI says at its end of the beds: which ran what, and what could not and why.
import { describe, expect, it } from 'vitest';
import { bedResults, bedTable } from '../../scripts/bed-table.mjs';

const LATER = '(skipped, unavailable: not in the core set, see npm run box:soak)';

function test(suite: string, title: string, status: string): object {
  return { ancestorTitles: [suite], title, fullName: `${suite} ${title}`, status };
}

const table = (...tests: object[]): string[] => bedTable(bedResults(tests));

describe('the table of beds', () => {
  it('says what ran on which, and of the rest how many did not for which reason', () => {
    const suite = '[arm64-4.17] the box';
    const lines = table(
      test(suite, 'boots', 'passed'),
      test(suite, 'stops', 'failed'),
      test(suite, `runs long ${LATER}`, 'skipped'),
      test(`${suite}, later ${LATER}`, 'runs long', 'pending'),
      test(
        '[arm64-4.17] hvmloader (skipped, unavailable: no hvmloader)',
        `boots ${LATER}`,
        'skipped',
      ),
      test('a guest of QEMU', 'boots', 'passed'),
    );
    expect(lines).toEqual([
      'bed         passed  failed  skipped  what did not run, and why',
      'arm64-4.17       1       1        3  2 x not in the core set, see npm run box:soak; 1 x no hvmloader',
    ]);
  });

  it('names a bed whose file the mirror answers with 404, and what that file is', () => {
    const reason =
      'Cannot download xen-utils-4.20 (arm64): the mirror carries it neither in trixie';
    const suite = `[arm64-4.20] the box (skipped, unavailable: ${reason})`;
    const lines = table(
      test(suite, 'boots', 'skipped'),
      test(suite, `runs long ${LATER}`, 'skipped'),
      test('[x86_64-4.20-pvh] the box', 'boots', 'passed'),
    );
    expect(lines.slice(1)).toEqual([
      `arm64-4.20            0       0        2  did not run: ${reason}`,
      'x86_64-4.20-pvh       1       0        0',
    ]);
  });

  it('has one line for each bed, however long a reason is, and says where there is none', () => {
    const [, long = '', none = ''] = table(
      test(`[arm64-4.20] the box (skipped, failed: make\n${'x'.repeat(1000)})`, 'boots', 'skipped'),
      test('[arm64-4.17] the box', 'boots', 'skipped'),
    );
    expect(long).toMatch(/did not run: make x+\.\.\.$/);
    expect(long.length).toBeLessThan(300);
    expect(none).toMatch(/did not run: no reason is given$/);
  });

  it('is nothing where no bed is named', () => {
    expect(table(test('a guest of QEMU', 'boots', 'passed'))).toEqual([]);
  });
});
