import { describe, expect, it } from 'vitest';
import { formatMetricsAddress, parseMetricsAddress } from '../../src/metrics/address.ts';

describe('parseMetricsAddress', () => {
  it.each([
    ['9100', { host: '127.0.0.1', port: 9100 }, '127.0.0.1:9100'],
    ['0.0.0.0:1', { host: '0.0.0.0', port: 1 }, '0.0.0.0:1'],
    ['localhost:65535', { host: 'localhost', port: 65535 }, 'localhost:65535'],
    ['[::1]:80', { host: '::1', port: 80 }, '[::1]:80'],
    ['./m', { path: './m' }, './m'],
    ['/run/m:9', { path: '/run/m:9' }, '/run/m:9'],
  ])('%s', (text, address, formatted) => {
    expect(parseMetricsAddress(text)).toEqual(address);
    expect(formatMetricsAddress(address)).toBe(formatted);
  });

  it.each(['', '0', '65536', 'metrics', ':80', '::1:80', '[::1]', 'a:b', '-1', '1e3', 'h\n:80'])(
    'refuses %j',
    (text) => {
      expect(() => parseMetricsAddress(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );
});
