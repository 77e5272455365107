import { VhostUserBackendError } from './errors.ts';

/**
 * URL of a device module for `VhostUserDaemon.addDevice`. Worker threads run built JavaScript:
 * when the caller itself runs from `src` (tests), the module is looked up in the `dist` beside it.
 *
 * @param path - of the built module, relative to the caller's: `./device.js`
 * @param base - `import.meta.url` of the caller, which lies directly in `src` or `dist`
 * @throws {VhostUserBackendError} INVALID_DEVICE in a bundle of CommonJS, which has no `import.meta.url`
 */
export function deviceModule(path: string, base: string): URL {
  if (base === undefined) {
    throw new VhostUserBackendError(
      'INVALID_DEVICE',
      `Cannot find ${path}: a bundle of CommonJS does not know its own URL; pass that of the module`,
    );
  }
  return new URL(path, base.endsWith('.ts') ? new URL('../dist/', base) : base);
}
