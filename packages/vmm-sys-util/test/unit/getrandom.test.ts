import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EFAULT, getrandom, Mapping } from '../../src/index.ts';

const PAGE = 4096;

describe('getrandom', () => {
  let mapping: Mapping;
  let address: number;
  beforeAll(() => {
    mapping = Mapping.create({ length: 0x2_0000, subject: 'test' });
    address = Number(mapping.pointer);
  });
  afterAll(() => mapping.close());

  it('fills what it is given and nothing else', () => {
    const bytes = new Uint8Array(mapping.buffer(0, 3 * PAGE));
    expect(getrandom(address + PAGE, 256)).toBe(256);
    expect(new Set(bytes.subarray(PAGE, PAGE + 256)).size).toBeGreaterThan(64);
    expect(bytes.subarray(0, PAGE).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(PAGE + 256).every((byte) => byte === 0)).toBe(true);
  });

  it('gives no more than it says of what is long', () => {
    const given = getrandom(address, 0x1_0000);
    expect(given).toBeGreaterThan(0);
    expect(given).toBeLessThanOrEqual(0x1_0000);
  });

  it('says that memory is not there', () => {
    expect(() => getrandom(0, 16)).toThrow(
      expect.objectContaining({ code: 'EFAULT', context: { syscall: 'getrandom', errno: EFAULT } }),
    );
  });
});
