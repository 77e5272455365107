import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { negotiate, until } from '../../src/testing/index.ts';
import { type Bench, useBench } from '../bench.ts';

/** A device module of a few words. @param body - of the object that `createDevice` returns */
function moduleOf(text: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
}
function device(fields: string): URL {
  return moduleOf(`export const createDevice = (options, context) => (${fields});`);
}
const GOOD = 'features: 0n, queueMaxSizes: [64], process() {}, [Symbol.dispose]() {}';

/** What `addDevice` of a device named `rng` rejects with. */
async function refusal(bench: Bench, spec: object): Promise<unknown> {
  const socketPath = bench.sockets.path();
  const adding = bench.addDevice({}, { name: 'rng', socketPath, ...spec });
  const error: unknown = await adding.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(existsSync(socketPath)).toBe(false);
  return error;
}

describe('A device that is not one', () => {
  const bench = useBench();

  it.each([
    ['nothing', 'undefined', '"createDevice" expected to return an object with features'],
    [
      'no process',
      '{ features: 0n, queueMaxSizes: [1] }',
      '"process" expected a function, got undefined',
    ],
    [
      'a number as features',
      `{ ${GOOD}, features: 5 }`,
      '"features" expected a bigint, got the number 5; write 5n',
    ],
    [
      'features of the framework',
      `{ ${GOOD}, features: 1n << 32n }`,
      '"features" expected bits 0..23 and 50..63 only',
    ],
    [
      'a number as queues',
      `{ ${GOOD}, queueMaxSizes: 64 }`,
      '"queueMaxSizes" expected an array of 1..256 queue sizes, got the number 64; write [64]',
    ],
    [
      'no queues',
      `{ ${GOOD}, queueMaxSizes: [] }`,
      '"queueMaxSizes" expected an array of 1..256 queue sizes, got an array of 0',
    ],
    [
      'a text as size',
      `{ ${GOOD}, queueMaxSizes: [64, '64'] }`,
      '"queueMaxSizes[1]" expected a power of two up to 32768, got "64"',
    ],
    [
      'a bigint as size',
      `{ ${GOOD}, queueMaxSizes: [64n] }`,
      '"queueMaxSizes[0]" expected a power of two up to 32768, got 64n',
    ],
    [
      'an odd size',
      `{ ${GOOD}, queueMaxSizes: [3] }`,
      '"queueMaxSizes[0]" expected a power of two up to 32768, got the number 3',
    ],
    [
      'a huge size',
      `{ ${GOOD}, queueMaxSizes: [65_536] }`,
      '"queueMaxSizes[0]" expected a power of two up to 32768',
    ],
    [
      'an array as config',
      `{ ${GOOD}, config: [1, 2] }`,
      '"config" expected a Uint8Array, or nothing, got an array of 2',
    ],
    [
      'a huge config',
      `{ ${GOOD}, config: new Uint8Array(5000) }`,
      '"config.length" expected a configuration space of up to 4096 bytes, got the number 5000',
    ],
    [
      'a flag as reset',
      `{ ${GOOD}, reset: true }`,
      '"reset" expected a function, or none, got true',
    ],
    [
      'no disposal',
      '{ features: 0n, queueMaxSizes: [1], process() {} }',
      '"[Symbol.dispose]" expected a function, got undefined',
    ],
    [
      'bytes as shared',
      `{ ${GOOD}, shared: new Uint8Array(1) }`,
      '"shared" expected a SharedArrayBuffer, or nothing, got an object',
    ],
    [
      'a number as losesState',
      `{ ${GOOD}, losesState: 1 }`,
      '"losesState" expected a boolean, or nothing, got the number 1',
    ],
    [
      'a path as host thread',
      "context.hostThread({ key: 'a', module: './host.js' })",
      '"hostThread.module" expected a URL, got "./host.js"; write new URL(',
    ],
    [
      'a function for its host thread',
      "context.hostThread({ key: 'a', module: new URL('file:///host.js'), options: { read() {} } })",
      '"hostThread.options.read" expected what postMessage can clone, got a function',
    ],
  ])('%s: the error names device, field and what was expected', async (_, fields, text) => {
    expect(await refusal(bench(), { module: device(fields) })).toMatchObject({
      code: 'INVALID_DEVICE',
      context: { device: 'rng' },
      message: expect.stringContaining(`Cannot serve device rng: ${text}`),
    });
  });

  it('an error in createDevice names the device', async () => {
    const module = device("(() => { throw new TypeError('no such chip'); })()");
    expect(await refusal(bench(), { module })).toMatchObject({
      code: 'INVALID_DEVICE',
      context: { device: 'rng' },
      message: 'Cannot make device rng: no such chip',
      cause: { stack: expect.stringMatching(/TypeError: no such chip\n +at .*data:text/) },
    });
  });

  it('a module without createDevice, and one that cannot be loaded', async () => {
    for (const [text, message] of [
      ['export const x = 1', 'exports no function createDevice, got undefined'],
      ["throw new Error('at its top')", 'Cannot make device rng: at its top'],
    ] as const) {
      expect(await refusal(bench(), { module: moduleOf(text) })).toMatchObject({
        code: 'INVALID_DEVICE',
        context: { device: 'rng' },
        message: expect.stringContaining(message),
      });
    }
  });
});

describe('A device that is asked for wrongly', () => {
  const bench = useBench();
  const circle: { self?: unknown; deep: object } = { deep: { list: [1, Symbol('s')] } };
  circle.self = circle;

  it.each([
    ['module', { module: './rng.js' }, '"module" expected a URL, got "./rng.js"; write new URL('],
    ['name', { name: '' }, '"name" expected a text that is not empty, got ""'],
    ['socketPath', { socketPath: 7 }, '"socketPath" expected a path, got the number 7'],
    ['statePath', { statePath: '' }, '"statePath" expected a path, got ""'],
    [
      'listenFd',
      { socketPath: undefined, listenFd: '3' },
      '"listenFd" expected the number of a descriptor, got "3"',
    ],
    [
      'connectedFd',
      { socketPath: undefined, connectedFd: -1 },
      '"connectedFd" expected the number of a descriptor, got the number -1',
    ],
    [
      'queueWorkers',
      { queueWorkers: 0 },
      '"queueWorkers" expected an integer of 1..256, got the number 0',
    ],
    [
      'options',
      { options: { host: { read: () => 1 } } },
      '"options.host.read" expected what postMessage can clone, got a function; options go to another thread',
    ],
    [
      'options in a circle',
      { options: circle },
      '"options.deep.list[1]" expected what postMessage can clone, got a symbol',
    ],
    [
      'options that are a function',
      { options: () => 1 },
      '"options" expected what postMessage can clone, got a function',
    ],
  ])('%s: the error names device, field and what was expected', async (field, spec, text) => {
    const device = field === 'name' ? 'without a name' : 'rng';
    expect(await refusal(bench(), spec)).toMatchObject({
      code: 'INVALID_DEVICE',
      context: { device },
      message: expect.stringContaining(`Cannot serve device ${device}: ${text}`),
    });
  });
});

describe('Device code that is asynchronous', () => {
  const bench = useBench();
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown): void => {
    rejections.push(reason);
  };
  beforeAll(() => void process.on('unhandledRejection', onRejection));
  afterAll(() => void process.off('unhandledRejection', onRejection));

  it.each([
    ['at once', "throw new TypeError('no chip at 0x50');", /It was rejected: no chip at 0x50$/],
    ['later', "await 0; await 0; throw 'a text';", /It was rejected: a text$/],
    [
      'after a wait',
      "await new Promise((go) => setTimeout(go, 5)); throw new Error('late');",
      /It was rejected: late$/,
    ],
    ['never', 'await new Promise(() => {});', /in a context\.hostThread$/],
  ])('in createDevice is refused, with its error: %s', async (_, body, text) => {
    const module = moduleOf(`export const createDevice = async () => { ${body} };`);
    const error = await refusal(bench(), { module });
    expect(error).toMatchObject({
      context: { device: 'rng' },
      message: expect.stringMatching(text),
    });
    expect(error).toMatchObject({
      message: expect.stringContaining('Cannot serve device rng: createDevice returned a promise'),
    });
  });

  it('disposes of the device that such a createDevice promised', async () => {
    const module = moduleOf(`
      import { closeSync, openSync } from 'node:fs';
      export const createDevice = async () => {
        const fd = openSync('/dev/null');
        return { [Symbol.dispose]() { closeSync(fd); } };
      };`);
    expect(String(await refusal(bench(), { module }))).toContain('returned a promise');
  });

  it.each([
    ['at once', "throw new TypeError('no chip at 0x50')", /It was rejected: no chip at 0x50$/],
    [
      'later',
      "await 0; queue.complete(batch.at(0), 0); await 0; throw new Error('too late')",
      /It was rejected: too late$/,
    ],
    ['never', 'await new Promise(() => {})', /context\.hostThread$/],
    [
      'after all is done',
      'for (const chain of batch) queue.complete(chain, 0)',
      /context\.hostThread$/,
    ],
  ])('in process fails the device alone, with its error: %s', async (_, body, text) => {
    const other = await bench().addDevice({}, { name: 'other' });
    const module = device(`{ ${GOOD}, async process(queue, batch) { ${body}; } }`);
    const served = await bench().addDevice({}, { name: 'rng', module });
    const { frontEnd, ring } = await bench().running(served);
    ring.submit([1]);
    const failure = await bench().daemon.failure;
    expect(failure).toMatchObject({ code: 'DEVICE_FAILED', context: { device: 'rng' } });
    expect(failure?.message).toMatch(text);
    expect(failure?.message).toContain(
      'Cannot go on with device rng: process returned a promise, and a device is called without',
    );
    expect(await frontEnd.closed).toBe('peer-closed');
    const good = await bench().running(other);
    good.ring.submit([1, 2]);
    expect(await good.ring.collect(good.frontEnd.poller, 1)).toEqual([2]);
    expect(rejections).toEqual([]);
  });

  it('shows the line of the author’s that it was rejected at', async () => {
    const module = new URL('../fixtures/async-device.mjs', import.meta.url);
    const served = await bench().addDevice({}, { name: 'rng', module });
    const { ring } = await bench().running(served);
    ring.submit([1]);
    const cause = (await bench().daemon.failure)?.cause as Error | undefined;
    expect(cause?.stack).toMatch(/async-device\.mjs:\d+/);
  });

  it.each(['negotiated', 'reset', 'command', 'queueStopping'])(
    'in %s fails the device, too',
    async (call) => {
      const module = device(`{ ${GOOD}, async ${call}() { throw new Error('no'); } }`);
      const served = await bench().addDevice({}, { name: 'rng', module });
      const asked = served.command(['x']).catch(() => undefined);
      if (call !== 'command') {
        const frontEnd = bench().connect(served);
        const ring = bench().ring();
        await negotiate(frontEnd, bench().guest).catch(() => undefined);
        ring.setUp(frontEnd);
        await ring.enable(frontEnd).catch(() => undefined);
        frontEnd.close();
      }
      await asked;
      const failure = await bench().daemon.failure;
      expect(failure?.message).toContain(`device rng: ${call} returned a promise`);
      expect(failure?.message).toMatch(/It was rejected: no$/);
    },
  );
});

describe('A length that cannot be', () => {
  const bench = useBench();

  it('is counted each time and logged once, and the driver told no more than fits', async () => {
    const lengths = '[70_000, -1, 1.5, NaN, undefined, "2", 4]';
    const module = device(`{ ${GOOD}, at: 0, process(queue, batch) {
      for (const chain of batch) queue.complete(chain, ${lengths}[this.at++]);
    } }`);
    const served = await bench().addDevice({}, { name: 'rng', module });
    const { frontEnd, ring } = await bench().running(served);
    const told: number[] = [];
    for (let i = 0; i < 7; i++) {
      ring.submit([1, 2, 3, 4]);
      told.push(...(await ring.collect(frontEnd.poller, 1)));
    }
    expect(told).toEqual([4, 0, 1, 0, 0, 0, 4]);
    const [counters] = (await served.status()).rings;
    expect(counters).toMatchObject({ chains: 7, wrongLengths: 6 });
    const said = bench().logger.lines.filter(({ message }) => message.includes('cannot be'));
    expect(said).toHaveLength(1);
    expect(said[0]).toMatchObject({
      level: 'warn',
      message: expect.stringContaining(
        '"written" expected an integer of 0..4, got the number 70000',
      ),
    });
    expect(served.failure).toBeUndefined();
    await until(async () => (await served.status()).state === 'connected');
  });
});
