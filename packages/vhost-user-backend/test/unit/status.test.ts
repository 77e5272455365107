import { describe, expect, it } from 'vitest';
import { until } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

describe('the status of a device', () => {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const bench = useBench({ gate });
  const logged = (text: string): unknown[] =>
    bench().logger.lines.filter(({ message }) => message === text);

  it('whose worker is busy is told in time', async () => {
    const { frontEnd, ring } = await bench().running();
    ring.submit([0xf7]);
    await until(() => logged('echo pauses').length === 1);
    expect(await bench().daemon.status({ timeoutMs: 1 })).toEqual([
      expect.objectContaining({ state: 'not answering', connections: 1, rings: [] }),
    ]);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    await ring.collect(frontEnd.poller, 1);
    expect(await bench().daemon.status({ timeoutMs: 30_000 })).toEqual([
      expect.objectContaining({
        state: 'connected',
        rings: [expect.objectContaining({ chains: 1 }), expect.anything()],
      }),
    ]);
  });

  it('that is closing is no error', async () => {
    const status = bench().daemon.status();
    await bench().daemon.close();
    expect(await status).toHaveLength(1);
  });

  it('that logs without end fills no memory: what is over the limit stays in the worker', async () => {
    const { frontEnd, ring } = await bench().running();
    ring.submit([0xf8]);
    await ring.collect(frontEnd.poller, 1);
    // Lines come in the order of what the worker posts, so before this answer.
    await bench().daemon.status();
    // And one more for each ten seconds that it took.
    expect(logged('flood').length).toBeGreaterThanOrEqual(100);
    expect(logged('flood').length).toBeLessThan(110);
  });
});
