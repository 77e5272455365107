import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UnixListener, UnixStream } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { placeDevices } from '../../src/place-devices.ts';
import { socketPlaces } from '../../src/sockets.ts';

const numbered = { numberedSockets: true } as const;

describe('socketPlaces', () => {
  it('is the path itself, and numbers those that were counted, one as well', () => {
    expect(socketPlaces({ socketPath: '/run/x', socketCount: 1 })).toEqual([
      { socketPath: '/run/x' },
    ]);
    expect(socketPlaces({ socketPath: '/run/x', socketCount: 1, ...numbered })).toEqual([
      { socketPath: '/run/x0' },
    ]);
    expect(socketPlaces({ socketPath: '/run/x', socketCount: 2, ...numbered })).toEqual([
      { socketPath: '/run/x0' },
      { socketPath: '/run/x1' },
    ]);
  });

  it('passes on who may use them, all-zero permissions and group 0 too', () => {
    const access = { socketMode: 0, socketGroup: 0 };
    expect(socketPlaces({ socketPath: '/run/x', socketCount: 1, ...access })).toEqual([
      { socketPath: '/run/x', ...access },
    ]);
  });

  it('takes a path of 107 bytes, number included, and none longer', () => {
    const places = (bytes: number, socketCount?: number) =>
      socketPlaces({
        socketPath: `/${'x'.repeat(bytes - 1)}`,
        ...(socketCount === undefined ? { socketCount: 1 } : { socketCount, ...numbered }),
      });
    expect(places(106, 10)).toHaveLength(10);
    expect(() => places(106, 11)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    expect(() => places(107, 1)).toThrow('must have 1 to 107 bytes');
    expect(places(107)).toHaveLength(1);
    expect(() => places(108)).toThrow('must have 1 to 107 bytes');
  });

  it('refuses a directory that is not there', () => {
    const socketPath = '/no-such-directory/x';
    expect(() => socketPlaces({ socketPath, socketCount: 1 })).toThrow(
      expect.objectContaining({ code: 'BAD_DIRECTORY' }),
    );
  });

  it('takes passed sockets for what they are, in their order', () => {
    const directory = mkdtempSync(join(tmpdir(), 'cli-'));
    const path = join(directory, 'socket');
    using listener = UnixListener.bind(path);
    using front = UnixStream.connect(path);
    const passedSockets = [front, listener].map(({ fd }) => ({ fd, name: 'x' }));
    expect(socketPlaces({ socketCount: 2, passedSockets })).toEqual([
      { connectedFd: front.fd },
      { listenFd: listener.fd },
    ]);
    rmSync(directory, { recursive: true });
    const none = [{ fd: 99_999, name: 'x' }];
    expect(() => socketPlaces({ socketCount: 1, passedSockets: none })).toThrow(
      /Cannot use descriptor 99999: it is not open/,
    );
  });
});

describe('placeDevices', () => {
  const module = new URL('file:///device.js');
  const device = (name: string, socketPath?: string) => ({
    name,
    module,
    options: {},
    ...(socketPath === undefined ? {} : { socketPath }),
  });
  const serving = { workers: 1, logLevel: 'info' } as const;

  it('gives each a path of its own, or the next of the sockets', () => {
    const options = { ...serving, socketPath: '/run/x', socketCount: 2, ...numbered };
    const devices = [device('a'), device('b', '/run/b'), device('c')];
    expect(placeDevices({ options, devices }).map(({ place }) => place.socketPath)).toEqual([
      '/run/x0',
      '/run/b',
      '/run/x1',
    ]);
  });

  it.each([
    [[], 'Cannot serve 0 devices on 1 sockets'],
    [[device('a'), device('b')], 'Cannot serve 2 devices on 1 sockets'],
  ])('refuses as many devices as there are no sockets for', (devices, text) => {
    const options = { ...serving, socketPath: '/run/x', socketCount: 1 };
    expect(() => placeDevices({ options, devices })).toThrow(
      expect.objectContaining({ code: 'SOCKET_COUNT', message: expect.stringContaining(text) }),
    );
  });
});
