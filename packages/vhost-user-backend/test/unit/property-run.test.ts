import { closeSync, openSync } from 'node:fs';
import { PropertyRun, propertyCases } from '@node-vmm/vhost-user-backend/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';

afterEach(() => vi.unstubAllEnvs());

function runAll(run: PropertyRun, each: () => void): PropertyRun {
  for (let i = 0; i < run.cases; i++) {
    each();
    run.ended();
  }
  return run;
}

describe('the cases of a property test', () => {
  it('are as many as NODE_VMM_CASES says, or as always', () => {
    vi.stubEnv('NODE_VMM_CASES', undefined);
    expect(propertyCases(300)).toBe(300);
    vi.stubEnv('NODE_VMM_CASES', '1000000');
    expect(propertyCases(300)).toBe(1_000_000);
    for (const wrong of ['0', '-1', '1e6', 'many', '99999999999999999999']) {
      vi.stubEnv('NODE_VMM_CASES', wrong);
      expect(() => propertyCases(300)).toThrow(RangeError);
    }
  });

  it('are over when as many have run, and are reported', () => {
    const report = runAll(new PropertyRun('nothing', 20), () => undefined).check();
    expect(report).toMatchObject({ name: 'nothing', cases: 20 });
    expect(report.last.descriptors).toBe(report.first.descriptors);
    const short = new PropertyRun('nothing', 20);
    short.ended();
    expect(() => short.check()).toThrow('nothing: 1 of 20 cases have run');
  });

  it('fail when they leave descriptors behind', () => {
    const left: number[] = [];
    const run = runAll(new PropertyRun('opens', 20), () => left.push(openSync('/dev/null', 'r')));
    try {
      expect(() => run.check()).toThrow('opens: descriptors before and after');
    } finally {
      for (const fd of left) closeSync(fd);
    }
  });

  it('fail when a long run leaves memory behind', () => {
    const left: Buffer[] = [];
    const run = new PropertyRun('keeps', 100_000);
    expect(run.long).toBe(true);
    runAll(run, () => left.push(Buffer.alloc(2000, 1)));
    expect(() => run.check()).toThrow(/^keeps: \d+ MB more of memory$/);
    expect(left).toHaveLength(run.cases);
  });
});
