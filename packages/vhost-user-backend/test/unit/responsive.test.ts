import { afterEach, beforeEach, expect, it } from 'vitest';
import { VhostUserDaemon } from '../../src/index.ts';
import { FrontEnd, Sockets } from '../../src/testing/index.ts';

/** Waits in `negotiated` until the second word of its gate changes. */
const WAITING = new URL(
  `data:text/javascript,${encodeURIComponent(`
    export const createDevice = (gate) => ({
      features: 0n, queueMaxSizes: [1], process() {}, [Symbol.dispose]() {},
      negotiated() {
        Atomics.store(gate, 0, 1);
        Atomics.wait(gate, 1, 0);
      },
    });`)}`,
);

let sockets: Sockets;
let daemon: VhostUserDaemon;
beforeEach(() => {
  sockets = new Sockets();
  daemon = new VhostUserDaemon({ workers: 2 });
});
afterEach(async () => {
  await daemon.close();
  sockets.close();
});

it('a daemon is responsive while each of its workers is', async () => {
  expect(await daemon.responsive(1)).toBe(true);
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const paths = [sockets.path(), sockets.path()] as const;
  for (const socketPath of paths) {
    await daemon.addDevice({ name: socketPath, module: WAITING, options: gate, socketPath });
  }
  expect(await daemon.responsive(60_000)).toBe(true);
  const frontEnd = new FrontEnd(paths[0]);
  frontEnd.send('VHOST_USER_SET_OWNER', undefined);
  frontEnd.send('VHOST_USER_SET_FEATURES', 1n << 32n);
  await expect.poll(() => Atomics.load(gate, 0), { timeout: 45_000 }).toBe(1);
  expect(await daemon.responsive(200)).toBe(false);
  Atomics.store(gate, 1, 1);
  Atomics.notify(gate, 1);
  expect(await daemon.responsive(60_000)).toBe(true);
  frontEnd.close();
});

it('refuses a time that is none', async () => {
  await expect(daemon.responsive(0)).rejects.toThrow(RangeError);
});
