import { describe, expect, it } from 'vitest';
import { parseDeviceList } from '../../src/device-list.ts';
import { parseBoard } from '../../src/simulated/board.ts';

describe('parseDeviceList', () => {
  it.each([
    ['0:32', [{ adapter: { bus: 0 }, addresses: [32] }]],
    ['2:0x20:0X6f:7', [{ adapter: { bus: 2 }, addresses: [0x20, 0x6f, 7] }]],
    ['1:0:127', [{ adapter: { bus: 1 }, addresses: [0, 127] }]],
    ['1:0x50:0xa050:0xa3ff', [{ adapter: { bus: 1 }, addresses: [0x50, 0xa050, 0xa3ff] }]],
    ['1:0xa000:41300', [{ adapter: { bus: 1 }, addresses: [0xa000, 0xa154] }]],
    [
      '1:4,i915 gmbus dpa:80, 3:5',
      [
        { adapter: { bus: 1 }, addresses: [4] },
        { adapter: { name: 'i915 gmbus dpa' }, addresses: [80] },
        { adapter: { bus: 3 }, addresses: [5] },
      ],
    ],
    [
      'NVIDIA i2c adapter 1 at 1:00.0:0x50:0x51',
      [{ adapter: { name: 'NVIDIA i2c adapter 1 at 1:00.0' }, addresses: [0x50, 0x51] }],
    ],
  ])('reads %s', (list, expected) => {
    expect(parseDeviceList(list)).toEqual(expected);
  });

  it.each([
    ['', 'names no adapter'],
    [',', 'names no adapter'],
    [':5', 'names no adapter'],
    ['0:1,', 'names no adapter'],
    ['0', 'has no address'],
    ['my bus', 'has no address'],
    ['0:', '"" is no address'],
    ['0:1:', '"" is no address'],
    ['0:1::2', '"" is no address'],
    ['0:x', '"x" is no address'],
    ['0:-1', '"-1" is no address'],
    ['0:1.5', '"1.5" is no address'],
    ['0:0x', '"0x" is no address'],
    ['0: 5', '" 5" is no address'],
    ['bus:x', '"x" is no address'],
    ['0:128', 'over 127 (0x7f); 10-bit addresses are written 0xa000 to 0xa3ff'],
    ['0:0x150', 'over 127'],
    ['0:0xa400', 'over 127'],
    ['0:0x78', '0x78 to 0x7b are the prefix of 10-bit addresses'],
    ['0:123', 'prefix of 10-bit addresses'],
    ['0:0xa150,1:0xa150', 'address 41296 (0xa150) is given twice'],
    ['bus:0x80', 'over 127'],
    ['0:99999999999999999999', 'over 127'],
    ['0:5:5', 'address 5 (0x5) is given twice'],
    ['0:5,1:0x5', 'address 5 (0x5) is given twice'],
    ['0:5,0:6', 'adapter 0 is given twice'],
    ['b:5,b:6', 'adapter "b" is given twice'],
    ['4294967296:5', 'over 2147483647'],
  ])('refuses %j', (list, reason) => {
    expect(() => parseDeviceList(list)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(reason) }),
    );
  });
});

describe('parseBoard', () => {
  it('reads chips and addresses', () => {
    expect(parseBoard('ds1338@0x68,tmp105@0xa148, 24c02@80')).toEqual([
      { chip: 'ds1338', address: 0x68 },
      { chip: 'tmp105', address: 0xa148 },
      { chip: '24c02', address: 80 },
    ]);
  });

  it.each([
    ['', 'is no chip@address'],
    ['ds1338', 'is no chip@address'],
    ['ds1338@1@2', 'is no chip@address'],
    ['ds1338@x', 'is no address'],
    ['ds1338@128', 'over 127'],
    ['lm75@0x48', 'there is no chip "lm75", only ds1338, 24c02, tmp105'],
    ['ds1338@1,24c02@0x1', 'given twice'],
    ['./board.ts', 'not supported yet'],
    ['board.mjs', 'not supported yet'],
  ])('refuses %j', (board, reason) => {
    expect(() => parseBoard(board)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(reason) }),
    );
  });
});
