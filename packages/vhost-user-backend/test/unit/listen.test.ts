import { existsSync, lstatSync, openSync } from 'node:fs';
import { asFd, closeFd, UnixListener } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VhostUserDaemon } from '../../src/index.ts';
import { Sockets } from '../../src/testing/index.ts';
import { ECHO } from '../bench.ts';

const GROUP = process.getuid?.() === 0 ? 54_321 : (process.getegid?.() ?? 0);

describe('where a device listens', () => {
  let sockets: Sockets;
  let daemon: VhostUserDaemon;
  beforeEach(() => {
    sockets = new Sockets();
    daemon = new VhostUserDaemon();
  });
  afterEach(async () => {
    await daemon.close();
    sockets.close();
  });

  it('gives the socket file the mode and the group of the device', async () => {
    const socketPath = sockets.path();
    const access = { socketMode: 0o620, socketGroup: GROUP };
    await daemon.addDevice({ name: 'echo', module: ECHO, socketPath, ...access });
    const { mode, gid } = lstatSync(socketPath);
    expect([mode & 0o777, gid]).toEqual([0o620, GROUP]);
  });

  it('refuses what is no listening socket, and permissions for one that was passed', async () => {
    const listenFd = openSync('/proc/self/status', 'r');
    const device = { name: 'echo', module: ECHO, listenFd };
    await expect(daemon.addDevice(device)).rejects.toThrow(/Cannot listen on descriptor/);
    closeFd(asFd(listenFd));
    const path = sockets.path();
    using passed = UnixListener.bind(path);
    for (const access of [{ socketMode: 0o600 }, { socketGroup: GROUP }]) {
      const refused = daemon.addDevice({ ...device, listenFd: passed.fd, ...access });
      await expect(refused).rejects.toThrow(
        'Cannot serve device echo: socketMode and socketGroup need socketPath',
      );
    }
    expect(existsSync(path)).toBe(true);
  });
});
