import { describe, expect, it } from 'vitest';
import { formatPermission, parsePermission, XenStoreError } from '../../src/index.ts';

describe('permissions', () => {
  it.each(['n0', 'r1', 'w2', 'b65535'])('round-trips %s', (text) => {
    expect(formatPermission(parsePermission(text))).toBe(text);
  });

  it.each(['', 'n', 'x1', 'n-1', 'r65536', 'r1 ', 'rr1'])('refuses %j', (text) => {
    expect(() => parsePermission(text)).toThrow(XenStoreError);
  });

  it('refuses to format what is no domain id', () => {
    expect(() => formatPermission({ domid: 1.5, access: 'read' })).toThrow(RangeError);
  });
});
