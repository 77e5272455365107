import { existsSync, lstatSync, openSync } from 'node:fs';
import { asFd, closeFd, dupFd, UnixListener, type UnixStream } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VhostUserDaemon } from '../../src/index.ts';
import { FrontEnd, Sockets } from '../../src/testing/index.ts';
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

  it('serves the one front-end that is connected to a socket that was passed', async () => {
    const path = sockets.path();
    using listener = UnixListener.bind(path);
    const frontEnd = new FrontEnd(path);
    using passed = listener.accept() as UnixStream;
    const device = await daemon.addDevice({
      name: 'echo',
      module: ECHO,
      connectedFd: dupFd(passed.fd),
    });
    await expect(frontEnd.ask('VHOST_USER_GET_FEATURES', undefined)).resolves.toBeTypeOf('bigint');
    expect((await daemon.status())[0]).toMatchObject({ state: 'connected', connections: 1 });
    frontEnd.close();
    await device.deserted;
    expect(device.failure).toBeUndefined();
  });

  it('refuses what is not connected, and two places at once', async () => {
    using listener = UnixListener.bind(sockets.path());
    const connectedFd: number = listener.fd;
    const device = { name: 'echo', module: ECHO, connectedFd };
    await expect(daemon.addDevice(device)).rejects.toThrow(/it listens \(pass .* is connected\)/);
    await expect(daemon.addDevice({ ...device, listenFd: connectedFd })).rejects.toThrow(
      'Cannot serve device echo: give one of socketPath, listenFd and connectedFd',
    );
  });
});
