import { describe, expect, it } from 'vitest';
import { guestImage, guestText, IMAGE_BASE } from '../../src/index.ts';
import { gnuAssemble, unavailable } from '../fixtures/gnu-as.ts';

it('the image begins with its first instruction and ends before its rings', () => {
  const image = guestImage();
  // mov esp, ...
  expect(image[0]).toBe(0xbc);
  expect(IMAGE_BASE + image.length).toBeLessThan(0x17_8000);
});

describe.skipIf(unavailable)(`the guest ${unavailable ?? 'and GNU as'}`, () => {
  it('is the same, byte for byte', () => {
    expect(Buffer.from(guestImage()).toString('hex')).toBe(
      Buffer.from(gnuAssemble(guestText(), IMAGE_BASE)).toString('hex'),
    );
  });
});
