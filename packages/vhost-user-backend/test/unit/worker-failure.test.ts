import { expect, it } from 'vitest';
import { VhostUserDaemon } from '../../src/index.ts';
import { MemoryLogger, Sockets } from '../support/daemon.ts';
import { FrontEnd } from '../support/front-end.ts';
import { Guest, GuestRing, negotiate } from '../support/guest.ts';

const SUICIDE = new URL(
  `data:text/javascript,${encodeURIComponent(`
    export const createDevice = () => ({
      features: 0n, queueMaxSizes: [64], process() { process.exit(5); }, [Symbol.dispose]() {},
    });`)}`,
);

it('a worker thread that ends by itself takes its devices with it, and nobody hangs', async () => {
  const sockets = new Sockets();
  const daemon = new VhostUserDaemon({ logger: new MemoryLogger() });
  const socketPath = sockets.path();
  const device = await daemon.addDevice({ name: 'suicide', module: SUICIDE, socketPath });
  const frontEnd = new FrontEnd(socketPath);
  const guest = new Guest();
  const ring = new GuestRing(guest);
  await negotiate(frontEnd, guest);
  ring.setUp(frontEnd);
  expect(await ring.enable(frontEnd)).toBe(0);
  ring.submit([1]);
  expect(await daemon.failure).toMatchObject({ code: 'WORKER_FAILED' });
  expect(await frontEnd.closed).toBe('peer-closed');
  expect((await device.status()).state).toBe('failed');
  const late = daemon.addDevice({ name: 'late', module: SUICIDE, socketPath: sockets.path() });
  await expect(late).rejects.toMatchObject({ code: 'WORKER_FAILED' });
  await daemon.close();
  frontEnd.close();
  ring.close();
  guest.close();
  sockets.close();
});
