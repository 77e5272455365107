import { expect, it } from 'vitest';
import { deviceModule, VhostUserDaemon } from '../../src/index.ts';

it('a device module is found beside its caller, or in dist when the caller is a source', () => {
  expect(deviceModule('./device.js', 'file:///p/dist/main.js').href).toBe(
    'file:///p/dist/device.js',
  );
  expect(deviceModule('./device.js', 'file:///p/src/main.ts').href).toBe(
    'file:///p/dist/device.js',
  );
});

it('what a bundle does not know is said', () => {
  // `import.meta.url` in a bundle of CommonJS.
  const base = undefined as unknown as string;
  expect(() => deviceModule('./device.js', base)).toThrow('Cannot find ./device.js: a bundle of');
  const threadModule = new URL('file:///nowhere/thread.mjs');
  expect(() => new VhostUserDaemon({ threadModule })).toThrow(
    expect.objectContaining({
      code: 'THREAD_MODULE',
      message: expect.stringContaining('file:///nowhere/thread.mjs is not there'),
    }),
  );
});
