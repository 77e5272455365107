import { silentLogger } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { CombinedSource } from '../../src/combined-source.ts';
import type { DeviceSource } from '../../src/device-source.ts';

describe('CombinedSource', () => {
  it('closes every source, also when one of them fails to', async () => {
    const closed: string[] = [];
    const source = (name: string, error?: Error): DeviceSource => ({
      start: () => Promise.resolve(),
      close: () => {
        closed.push(name);
        return error === undefined ? Promise.resolve() : Promise.reject(error);
      },
    });
    const sources = [source('a', new Error('no')), source('b')];
    const combined = new CombinedSource(sources, silentLogger);
    await expect(combined.close()).rejects.toThrow('no');
    expect(closed).toEqual(['a', 'b']);
  });
});
