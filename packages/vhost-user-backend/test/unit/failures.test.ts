import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { VhostUserDaemon } from '../../src/index.ts';
import { negotiate, until } from '../../src/testing/index.ts';
import { ECHO, useBench } from '../bench.ts';

describe('a device that throws', () => {
  const bench = useBench();

  it.each([
    ['process', 0xff, 'thrown by process'],
    ['a callback', 0xfb, 'thrown by a callback'],
  ])('from %s has failed: reported with its stack, others go on', async (_, command, text) => {
    const other = await bench().addDevice({}, { name: 'other' });
    const { frontEnd, ring } = await bench().running();
    ring.submit([command]);
    const failure = await bench().daemon.failure;
    expect(failure).toMatchObject({ code: 'DEVICE_FAILED', context: { device: 'echo' } });
    expect(failure?.message).toContain(text);
    expect((failure?.cause as Error | undefined)?.stack).toContain('echo-device.mjs');
    expect(await frontEnd.closed).toBe('peer-closed');
    await until(() => !existsSync(bench().device.socketPath as string));
    expect((await bench().device.status()).state).toBe('failed');
    const next = bench().connect(other);
    await negotiate(next, bench().guest);
    const fresh = bench().ring(1);
    fresh.setUp(next);
    expect(await fresh.enable(next)).toBe(0);
    fresh.submit([1]);
    expect(await fresh.collect(next.poller, 1)).toEqual([1]);
  });

  it('that forgets a chain has failed too', async () => {
    const { ring } = await bench().running();
    ring.submit([0xfa]);
    expect((await bench().daemon.failure)?.message).toContain('neither completed nor detached');
  });
});

describe('a device that cannot be made', () => {
  const bench = useBench();

  it('is an error of addDevice and leaves nothing', async () => {
    const socketPath = bench().sockets.path();
    const options = { throws: 'no such chip' };
    await expect(bench().addDevice(options, { socketPath })).rejects.toThrow('no such chip');
    expect(existsSync(socketPath)).toBe(false);
    expect(await bench().daemon.status()).toHaveLength(1);
  });

  it('a module without createDevice, and one that is not there', async () => {
    const none = new URL('data:text/javascript,export const x = 1');
    await expect(bench().addDevice({}, { module: none })).rejects.toMatchObject({
      code: 'INVALID_DEVICE',
    });
    const missing = new URL('./missing.mjs', ECHO);
    await expect(bench().addDevice({}, { module: missing })).rejects.toThrow('missing.mjs');
  });

  it('a syntax error is told with file and line, also one in what the module imports', async () => {
    const { directory } = bench().sockets;
    // Not among the fixtures: no tool can read them.
    writeFileSync(
      join(directory, 'broken.mjs'),
      'export const createDevice = () => ({\n  a: = 1\n});',
    );
    writeFileSync(join(directory, 'imports.mjs'), "export * from './broken.mjs';");
    for (const file of ['broken.mjs', 'imports.mjs']) {
      const module = pathToFileURL(join(directory, file));
      await expect(bench().addDevice({}, { module })).rejects.toThrow('broken.mjs:2');
    }
  });

  it.each([
    ['at its top', 'import', 'throws.mjs:5'],
    ['in createDevice', 'createDevice', 'throws.mjs:8'],
  ])('an error %s is told with file and line', async (_, how, place) => {
    const module = new URL(`../fixtures/throws.mjs?${how}`, import.meta.url);
    await expect(bench().addDevice({}, { module })).rejects.toThrow(place);
  });

  it('an error in process is told with file and line', async () => {
    const module = new URL('../fixtures/throws.mjs?process', import.meta.url);
    const device = await bench().addDevice({}, { module });
    const { ring } = await bench().running(device);
    ring.submit([1]);
    expect((await bench().daemon.failure)?.message).toContain('throws.mjs:13');
  });
});

describe('VhostUserDaemon.close', () => {
  const bench = useBench();

  it('may be called twice, while front-ends are connected, and ends addDevice', async () => {
    const { frontEnd, ring } = await bench().running();
    ring.submit([0xfe]);
    const late = bench().addDevice();
    const closing = Promise.all([bench().daemon.close(), bench().daemon.close()]);
    await expect(late).rejects.toMatchObject({ code: 'CLOSED' });
    await closing;
    expect(await frontEnd.closed).toBe('peer-closed');
    await expect(bench().addDevice()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('refuses a number of workers that makes no sense', () => {
    expect(() => new VhostUserDaemon({ workers: 0 })).toThrow(RangeError);
    expect(() => new VhostUserDaemon({ workers: 1.5 })).toThrow(RangeError);
  });

  it('spreads devices over workers', async () => {
    const daemon = new VhostUserDaemon({ workers: 3 });
    const module = new URL(
      `data:text/javascript,${encodeURIComponent(`
        import { threadId } from 'node:worker_threads';
        export const createDevice = () => ({
          features: 0n, queueMaxSizes: [1], config: Uint8Array.of(threadId),
          process() {}, [Symbol.dispose]() {},
        });`)}`,
    );
    const threads = new Set<number | undefined>();
    for (let i = 0; i < 3; i++) {
      const device = await daemon.addDevice({
        name: `${i}`,
        module,
        socketPath: bench().sockets.path(),
      });
      const frontEnd = bench().connect(device);
      const all = await frontEnd.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
      frontEnd.send('VHOST_USER_SET_PROTOCOL_FEATURES', all);
      const config = { offset: 0, flags: 0, data: new Uint8Array(1) };
      threads.add((await frontEnd.ask('VHOST_USER_GET_CONFIG', config)).data[0]);
    }
    expect(threads.size).toBe(3);
    await daemon.close();
  });
});
