import { describe, expect, it } from 'vitest';
import { skipLine } from '../../scripts/skips.mjs';

const bed = (name: string, why: string) => `[${name}] the main job (skipped, ${why}) > transfers`;

describe('the last line of npm test', () => {
  it('is not there when nothing was skipped', () => {
    expect(skipLine([], undefined)).toBeUndefined();
  });

  it('says how to enable the tests that need the box, where none of it is there', () => {
    expect(skipLine([], 'missing: qemu-system-aarch64; run `npm run box:setup`')).toBe(
      'Skipped tests: all on real Xen and QEMU (missing: qemu-system-aarch64; to enable them: npm run box:setup)',
    );
  });

  it('names the beds that are missing, and what would make them', () => {
    const line = skipLine(
      [
        bed('arm64-4.17', 'missing: xen-arm64'),
        bed('arm64-4.17', 'missing: xen-arm64'),
        bed('x86_64-4.20', 'failed: make ended with 2'),
      ],
      undefined,
    );
    expect(line).toBe(
      'Skipped tests: 3 of arm64-4.17, x86_64-4.20 (missing: xen-arm64; to enable them: npm run box:setup)',
    );
  });

  it('tells what cannot be had from what takes long and from what this machine lacks', () => {
    const line = skipLine(
      [
        'I2cHost: Linux, needs I2C_TEST_BUS > reads',
        bed('arm64-4.20', `unavailable: ${'x'.repeat(200)}`),
        '[arm64-4.17] boots > copies (skipped, unavailable: not in the core set, see npm run box:soak)',
        'golden ABI > arm64 (missing: headers; run `npm run box:setup`)',
      ],
      undefined,
    );
    expect(line?.split('; ')).toEqual([
      'Skipped tests: 1 of golden ABI (missing: headers',
      'to enable them: npm run box:setup)',
      '1 that take long (to enable them: npm run box:soak)',
      `1 of arm64-4.20 (unavailable: ${'x'.repeat(120)}...)`,
      '1 of I2cHost: Linux, needs I2C_TEST_BUS (what they need: npm test -- --reporter=verbose)',
    ]);
  });

  it('is one line', () => {
    expect(skipLine([bed('arm64-4.20', 'failed: make\nended with 2')], 'a\nb')).not.toContain('\n');
  });
});
