import { describe, expect, it } from 'vitest';
import { FixedSockets, SocketDirectory } from '../../src/socket-provider.ts';
import { deviceById } from '../../src/supported-devices.ts';

const I2C = deviceById(34);
const RNG = deviceById(4);

describe('FixedSockets', () => {
  it('gives a socket to one device at a time', () => {
    const sockets = new FixedSockets(new Map([['i2c', '/run/vi2c.sock0']]));
    const first = sockets.lease(I2C, '1/0');
    expect(first.path).toBe('/run/vi2c.sock0');
    expect(() => sockets.lease(I2C, '2/0')).toThrow(
      expect.objectContaining({
        code: 'NO_SOCKET',
        message:
          'Cannot serve i2c device 2/0: /run/vi2c.sock0 serves device 1/0; give each a socket of its own, such as a directory as --socket-path',
      }),
    );
    first.release();
    const second = sockets.lease(I2C, '2/0');
    first.release();
    expect(() => sockets.lease(I2C, '3/0')).toThrow(/serves device 2\/0/);
    second.release();
    expect(sockets.lease(I2C, '3/0').path).toBe('/run/vi2c.sock0');
  });

  it('says which option is missing for a device type', () => {
    const sockets = new FixedSockets(new Map([['i2c', '/x']]));
    expect(() => sockets.lease(RNG, '1/1')).toThrow(/no --socket-path was given for --name rng/);
  });
});

describe('SocketDirectory', () => {
  it('numbers the devices of each type from the lowest free index', () => {
    const sockets = new SocketDirectory('/run/vhost');
    const leases = ['1/0', '1/1', '2/0'].map(() => sockets.lease(I2C));
    expect(leases.map(({ path }) => path)).toEqual([
      '/run/vhost/i2c.sock0',
      '/run/vhost/i2c.sock1',
      '/run/vhost/i2c.sock2',
    ]);
    expect(sockets.lease(RNG).path).toBe('/run/vhost/rng.sock0');
    leases[1]?.release();
    leases[0]?.release();
    const again = sockets.lease(I2C);
    expect(again.path).toBe('/run/vhost/i2c.sock0');
    // Released long ago: must not take the index from the device that has it now.
    leases[0]?.release();
    expect(sockets.lease(I2C).path).toBe('/run/vhost/i2c.sock1');
    expect(sockets.lease(I2C).path).toBe('/run/vhost/i2c.sock3');
  });

  it('names a device type that has no name by its number', () => {
    expect(new SocketDirectory('/d').lease(deviceById(63)).path).toBe('/d/virtio-63.sock0');
  });
});
