import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { DeviceCommandError, type ServedDevice } from '../../src/index.ts';
import { useBench } from '../bench.ts';

const COMMANDS = new URL('../fixtures/commands-device.mjs', import.meta.url);
const LONG_MS = 1_000_000;

describe('A command from outside', () => {
  const bench = useBench({}, { workers: 2, onDeviceFailed: () => undefined });
  let device: ServedDevice;
  const add = (options: object = {}, spec: object = {}): Promise<ServedDevice> =>
    bench().addDevice(options, { name: 'commanded', module: COMMANDS, ...spec });
  beforeEach(async () => {
    device = await add();
  });

  it('is answered by the device, with an object or nothing', async () => {
    expect(await device.command(['echo', 'a', 'ü b'])).toEqual({
      words: ['a', 'ü b'],
      instance: 0,
    });
    expect(await device.command(['nothing'])).toBeUndefined();
    expect(await device.command(['undefined'])).toEqual({ right: 1 });
  });

  it('comes to instance 0 of several', async () => {
    const many = await add({ queues: [64, 64] }, { queueWorkers: 2 });
    expect(await many.command(['echo'])).toMatchObject({ instance: 0 });
  });

  it('that the device refuses is an answer, and the device goes on', async () => {
    const refused = device.command(['refuse']);
    await expect(refused).rejects.toMatchObject({
      code: 'REFUSED',
      message: 'Cannot do that: it is shut',
      context: { device: 'commanded' },
    });
    await expect(refused).rejects.toSatisfy((error) => DeviceCommandError.is(error, 'REFUSED'));
    await expect(device.command(['dance'])).rejects.toMatchObject({ code: 'USAGE' });
    expect(await device.command(['nothing'])).toBeUndefined();
  });

  it('in any words fails no device', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string(), { minLength: 1 }), async (words) => {
        const answer = device.command(['echo', ...words]);
        expect(await answer).toEqual({ words, instance: 0 });
        await expect(device.command(['', ...words])).rejects.toMatchObject({ code: 'USAGE' });
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    ['throw', /thrown by a command \(.*commands-device.mjs:\d+\)/],
    ['circle', /circular/],
    ['number', /"number" in it has no JSON/],
    ['class', /"map" in it has no JSON/],
    ['function', /"callback" in it has no JSON/],
    ['array', /no plain object/],
    ['promise', /command returned a promise/],
    ['emitNothing', /Cannot tell an event: it is no plain object/, true],
    ['emitClass', /"error" in it has no JSON/, true],
  ])('%s is the failure of the device', async (name, text, listens = false) => {
    if (listens) device.onEvent(() => undefined);
    await expect(device.command([name])).rejects.toMatchObject({
      code: 'DEVICE_FAILED',
      message: expect.stringMatching(text),
    });
    expect(device.failure?.message).toMatch(text);
    await expect(device.command(['nothing'])).rejects.toMatchObject({
      code: 'DEVICE_FAILED',
      message: 'Cannot ask device commanded: it has failed',
    });
  });

  it('may be answered at some length, but no more', async () => {
    const { text } = (await device.command(['big', '1000000'])) as { text: string };
    expect(text).toHaveLength(1_000_000);
    await expect(device.command(['big', '2000000'])).rejects.toThrow('over 1048576 characters');
  });

  it('that does not come back is ended with its worker', async () => {
    await bench().device.close();
    await expect(device.command(['loop'])).rejects.toMatchObject({
      code: 'DEVICE_HANGS',
      message: expect.stringContaining('command does not come back'),
    });
  });

  it('is refused for a device that knows none, whose name and words are in the text', async () => {
    const mute = await add({ mute: true }, { name: 'mute' });
    await expect(mute.command(['line', '3'])).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: 'Cannot ask device mute to line: it knows no commands',
    });
    expect(mute.failure).toBeUndefined();
  });

  it('waits for no device that is made again', async () => {
    const again = await add({}, { restart: { firstDelay: LONG_MS } });
    await expect(again.command(['throw'])).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
    await expect(again.command(['nothing'])).rejects.toMatchObject({
      code: 'DEVICE_FAILED',
      message: expect.stringContaining('made again; ask later'),
    });
  });

  it('is done again by a device that has been made again', async () => {
    const again = await add({}, { restart: { firstDelay: 1 } });
    await expect(again.command(['throw'])).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
    await expect
      .poll(() => again.command(['echo']).catch(({ code }) => code), { timeout: 45_000 })
      .toEqual({ words: [], instance: 0 });
  });

  it('ends with the device', async () => {
    const asked = device.command(['nothing']).catch(({ code }) => code);
    await device.close();
    expect([undefined, 'CLOSED']).toContain(await asked);
    await expect(device.command(['nothing'])).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it.each([{ words: [] }, { words: 'line' }, { words: [1] }, {}])('%j is none', async (given) => {
    await expect(device.command((given as { words: string[] }).words)).rejects.toThrow(TypeError);
  });
});
