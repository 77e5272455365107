import { describe, expect, it } from 'vitest';
import { until } from '../../src/testing/index.ts';
import { ECHO, useBench } from '../bench.ts';

const FAILS = new URL('../fixtures/fails-device.mjs', import.meta.url);
const THROW = 1;

describe('A device that is prepared', () => {
  const bench = useBench();
  const prepare = (module = ECHO) =>
    bench().daemon.prepareDevice({
      name: 'prepared',
      module,
      socketPath: bench().sockets.path(),
      options: {},
      restart: { firstDelay: 1 },
    });

  it('lets front-ends wait until it is served', async () => {
    const device = await prepare();
    const frontEnd = bench().connect(device);
    let answered = false;
    const answer = frontEnd.ask('VHOST_USER_GET_QUEUE_NUM', undefined).finally(() => {
      answered = true;
    });
    // The other device is asked meanwhile, by the same event loop.
    expect(await bench().connect().ask('VHOST_USER_GET_QUEUE_NUM', undefined)).toBe(2n);
    expect(answered).toBe(false);
    expect((await device.status()).connections).toBe(0);
    device.serve();
    device.serve();
    expect(await answer).toBe(2n);
  });

  it('is served again by itself when it is made again', async () => {
    const device = await prepare(FAILS);
    device.serve();
    const { frontEnd, ring } = await bench().running(device);
    ring.submit([THROW]);
    expect(await frontEnd.closed).toBe('peer-closed');
    await until(() => device.failure === undefined);
    const next = await bench().running(device);
    next.ring.submit([9]);
    expect(await next.ring.collect(next.frontEnd.poller, 1)).toEqual([1]);
  });

  it('can be closed without ever being served', async () => {
    const device = await prepare();
    const frontEnd = bench().connect(device);
    await device.close();
    device.serve();
    expect(await frontEnd.closed).toBe('peer-closed');
  });
});
