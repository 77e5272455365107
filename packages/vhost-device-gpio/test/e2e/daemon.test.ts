import { connectDevice, DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { expect, it } from 'vitest';

const main = new URL('../../dist/main.js', import.meta.url);

it('serves a guest on each socket, as its command line says', async () => {
  await using daemon = await DaemonProgram.start({ main, args: ['--max-bytes', '48'] }, 2);
  for (const index of [0, 1]) {
    await using bench = await connectDevice({ socketPath: daemon.socketPath(index) });
    const [bytes] = await bench.queue(0).request([], [64]);
    expect(bytes?.length).toBe(48);
  }
  expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  expect(daemon.stderr).toContain('"maxBytes":48');
});
