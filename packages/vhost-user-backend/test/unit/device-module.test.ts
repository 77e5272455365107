import { expect, it } from 'vitest';
import { deviceModule } from '../../src/index.ts';

it('a device module is found beside its caller, or in dist when the caller is a source', () => {
  expect(deviceModule('./device.js', 'file:///p/dist/main.js').href).toBe(
    'file:///p/dist/device.js',
  );
  expect(deviceModule('./device.js', 'file:///p/src/main.ts').href).toBe(
    'file:///p/dist/device.js',
  );
});
