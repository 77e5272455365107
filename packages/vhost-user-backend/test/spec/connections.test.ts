// Titles name sections of the vhost-user specification (QEMU docs/interop/vhost-user.rst).
import { existsSync, writeFileSync } from 'node:fs';
import { UnixListener } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { FrontEnd, GuestRing, negotiate, openFds, until } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

describe('Communication', () => {
  const bench = useBench({ config: [1, 2, 3, 4] });

  it('one front-end is served at a time, the next one after it', async () => {
    const first = await bench().running();
    const second = bench().connect();
    const answer = second.ask('VHOST_USER_GET_QUEUE_NUM', undefined).catch(() => undefined);
    first.ring.submit([1]);
    expect(await first.ring.collect(first.frontEnd.poller, 1)).toEqual([1]);
    first.frontEnd.close();
    expect(await answer).toBe(2n);
    expect((await bench().device.status()).connections).toBe(2);
  });

  it('a connection that ends after any message leaves nothing behind', async () => {
    const { guest } = bench();
    const steps: ((frontEnd: FrontEnd, ring: GuestRing) => unknown)[] = [
      (f) => f.send('VHOST_USER_SET_OWNER', undefined),
      (f) => f.ask('VHOST_USER_GET_FEATURES', undefined),
      (f) => f.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined),
      (f) => f.send('VHOST_USER_SET_PROTOCOL_FEATURES', (1n << 3n) | (1n << 15n)),
      (f) => f.send('VHOST_USER_SET_FEATURES', (1n << 29n) | (1n << 30n) | (1n << 32n)),
      (f) => f.send('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds),
      (f) => f.send('VHOST_USER_SET_VRING_NUM', { index: 0, num: 64 }),
      (f, r) => f.send('VHOST_USER_SET_VRING_ADDR', r.addr),
      (f) => f.send('VHOST_USER_SET_VRING_BASE', { index: 0, num: 0 }),
      (f, r) => f.send('VHOST_USER_SET_VRING_ERR', { index: 0, hasFd: true }, [r.err.fd]),
      (f, r) => f.send('VHOST_USER_SET_VRING_CALL', { index: 0, hasFd: true }, [r.call.fd]),
      (f, r) => f.send('VHOST_USER_SET_VRING_KICK', { index: 0, hasFd: true }, [r.kick.fd]),
      (f) => f.send('VHOST_USER_SET_VRING_ENABLE', { index: 0, num: 1 }),
      (_, r) => r.submit([1], [0xfe], [2]),
      (f) => f.send('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds),
      (f) => f.send('VHOST_USER_GET_CONFIG', { offset: 0, flags: 0, data: new Uint8Array(4) }),
      (f) => f.send('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 }),
    ];
    await bench()
      .running()
      .then(({ frontEnd }) => frontEnd.close());
    await bench().idle();
    const before = openFds();
    for (let count = 0; count <= steps.length; count++) {
      for (const settle of [false, true]) {
        const frontEnd = new FrontEnd(bench().device.socketPath as string);
        const ring = new GuestRing(guest);
        for (const step of steps.slice(0, count)) await step(frontEnd, ring);
        if (settle) await frontEnd.ask('VHOST_USER_GET_FEATURES', undefined);
        frontEnd.close();
        ring.close();
      }
    }
    await bench().idle();
    await until(async () => (await bench().device.status()).connections === 2 * steps.length + 3);
    await bench().idle();
    await expect.poll(() => openFds()).toBe(before);
    const { frontEnd, ring } = await bench().running();
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  });

  it('a thousand front-ends come and go', async () => {
    const path = bench().device.socketPath as string;
    await bench().idle();
    const before = openFds();
    for (let i = 0; i < 1000; i++) {
      const frontEnd = new FrontEnd(path);
      if (i % 100 === 0) await frontEnd.ask('VHOST_USER_GET_FEATURES', undefined);
      frontEnd.close();
      // The backlog is short: wait for our turn.
      if (i % 4 === 3) await until(async () => (await bench().device.status()).connections > i);
    }
    await bench().idle();
    await expect.poll(() => openFds()).toBe(before);
    expect((await bench().device.status()).connections).toBe(1000);
  });

  it('bytes that are no message end the connection, not the daemon', async () => {
    const { UnixStream } = await import('@node-vmm/vmm-sys-util');
    const path = bench().device.socketPath as string;
    for (const bytes of [
      new Uint8Array(64).fill(0xff),
      new Uint8Array(64),
      Uint8Array.from([99, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
      Uint8Array.from([1, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255]),
      Uint8Array.from([1, 0, 0]),
    ]) {
      const stream = UnixStream.connect(path);
      stream.send(bytes);
      stream.close();
    }
    const { frontEnd, ring } = await bench().running();
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  });

  it('a listening socket of a supervisor is served and its file left alone', async () => {
    const path = bench().sockets.path();
    const listener = UnixListener.bind(path);
    const { dupFd } = await import('@node-vmm/vmm-sys-util');
    const device = await bench().daemon.addDevice({
      name: 'inherited',
      module: new URL('../fixtures/echo-device.mjs', import.meta.url),
      listenFd: dupFd(listener.fd),
    });
    const frontEnd = new FrontEnd(path);
    expect(await frontEnd.ask('VHOST_USER_GET_FEATURES', undefined)).not.toBe(0n);
    frontEnd.close();
    await device.close();
    expect(existsSync(path)).toBe(true);
    listener.close();
  });

  it('a socket in use and a file that is none are errors', async () => {
    const path = bench().device.socketPath as string;
    await expect(bench().addDevice({}, { socketPath: path })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
    const file = bench().sockets.path();
    writeFileSync(file, 'precious');
    await expect(bench().addDevice({}, { socketPath: file })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
    expect(existsSync(file)).toBe(true);
  });
});

describe('Several devices', () => {
  const bench = useBench();

  it('share one worker without disturbing each other', async () => {
    const devices = [bench().device];
    for (let i = 0; i < 7; i++) devices.push(await bench().addDevice({}, { name: `echo-${i}` }));
    const ends = await Promise.all(
      devices.map(async (device, i) => {
        const frontEnd = bench().connect(device);
        await negotiate(frontEnd, bench().guest);
        const ring = bench().ring(i % 8);
        // Each front-end says ring 0, at a place of its own.
        const addr = { ...ring.addr, index: 0 };
        frontEnd.send('VHOST_USER_SET_VRING_NUM', { index: 0, num: 64 });
        frontEnd.send('VHOST_USER_SET_VRING_ADDR', addr);
        frontEnd.send('VHOST_USER_SET_VRING_CALL', { index: 0, hasFd: true }, [ring.call.fd]);
        frontEnd.send('VHOST_USER_SET_VRING_KICK', { index: 0, hasFd: true }, [ring.kick.fd]);
        await frontEnd.tell('VHOST_USER_SET_VRING_ENABLE', { index: 0, num: 1 });
        return { frontEnd, ring };
      }),
    );
    for (let round = 0; round < 50; round++) {
      for (const { ring } of ends) ring.submit([round], [round]);
      for (const { frontEnd, ring } of ends) {
        expect(await ring.collect(frontEnd.poller, 2)).toEqual([1, 1]);
      }
    }
    const status = await bench().daemon.status();
    expect(status.map(({ rings }) => rings[0]?.chains)).toEqual(Array(8).fill(100));
    ends[3]?.frontEnd.close();
    await devices[5]?.close();
    const last = ends[7];
    last?.ring.submit([9]);
    expect(await last?.ring.collect(last.frontEnd.poller, 1)).toEqual([1]);
  });
});
