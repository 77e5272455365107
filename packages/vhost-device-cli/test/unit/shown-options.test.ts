import { describe, expect, it } from 'vitest';
import { shownOptions } from '../../src/shown-options.ts';

describe('what the first log line shows of the devices', () => {
  it('is what all of them have', () => {
    expect(shownOptions([{ lines: 4 }, { lines: 4 }])).toEqual({ lines: 4 });
    expect(shownOptions([{ lines: 4 }])).toEqual({ lines: 4 });
  });

  it('is each one’s where they differ', () => {
    const options = [{ lines: 4 }, { lines: 8 }];
    expect(shownOptions(options)).toEqual({ devices: options });
  });
});
