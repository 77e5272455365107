import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VhostUserDaemon } from '../../src/index.ts';
import {
  FrontEnd,
  Guest,
  GuestRing,
  MemoryLogger,
  negotiate,
  openFds,
  Sockets,
} from '../../src/testing/index.ts';
import { ECHO } from '../bench.ts';

describe('VhostUserDaemon', () => {
  let sockets: Sockets;
  beforeEach(() => {
    sockets = new Sockets();
  });
  afterEach(() => sockets.close());

  it('serves requests and releases everything at its end', async () => {
    const before = openFds();
    const logger = new MemoryLogger();
    const daemon = new VhostUserDaemon({ logger });
    const socketPath = sockets.path();
    await daemon.addDevice({ name: 'echo', module: ECHO, socketPath });
    const guest = new Guest();
    const ring = new GuestRing(guest);
    const frontEnd = new FrontEnd(socketPath);
    await negotiate(frontEnd, guest);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    ring.submit([1, 2, 3], [4, 5]);
    expect(await ring.collect(frontEnd.poller, 2)).toEqual([3, 2]);
    const [status] = await daemon.status();
    expect(status).toMatchObject({ name: 'echo', state: 'connected', memoryRegions: 1 });
    expect(status?.rings[0]).toMatchObject({ chains: 2, malformedChains: 0, broken: 0 });
    frontEnd.close();
    ring.close();
    guest.close();
    await daemon.close();
    expect(existsSync(socketPath)).toBe(false);
    await expect.poll(() => openFds()).toBe(before);
  });
});
