import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServedDevice } from '../../src/index.ts';
import { type FrontEnd, until } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';
import { FileGuest, type Place } from '../support/file-guest.ts';

const RECORDER = new URL('../fixtures/recording-device.mjs', import.meta.url);
const PLAIN = 0;
const READV = 1;
const LATER = 2;
const READ_LATER = 3;
const TRIGGER = 4;

describe('A guest whose memory is not there', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'memory-fault-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  // The victim and the guests that fault are on the same worker.
  const bench = useBench();
  const addRecorder = (name: string): Promise<ServedDevice> =>
    bench().addDevice({}, { name, module: RECORDER });
  const executed = (): number =>
    bench().logger.lines.filter(({ message }) => message === 'executed').length;

  async function begin(device: ServedDevice, last: Place): Promise<[FileGuest, FrontEnd]> {
    const guest = new FileGuest(directory, last);
    const frontEnd = bench().connect(device);
    await guest.start(frontEnd);
    return [guest, frontEnd];
  }

  it.each<[Place, number, number]>([
    ['ring', PLAIN, 0],
    ['table', PLAIN, 0],
    ['header', PLAIN, 0],
    ['payload', PLAIN, 0],
    ['answer', PLAIN, 1],
    ['answer', READV, 1],
  ])('is dropped, and nothing of it reaches the device: %s', async (last, command, done) => {
    const device = await addRecorder('recorder');
    const victim = await bench().running();
    const [guest, frontEnd] = await begin(device, last);
    guest.add(command);
    guest.cut();
    guest.ask();
    expect(await frontEnd.closed).toBe('peer-closed');
    const line = bench().logger.find('Cannot go on with the front-end of device recorder');
    expect(line).toMatchObject({ level: 'error', context: { device: 'recorder' } });
    expect(line?.context).toHaveProperty('err.code', 'MEMORY_FAULT');
    expect(executed()).toBe(done);
    // What it was told of as done, it may have: not this.
    expect(guest.driver.poll()).toBeUndefined();
    await until(async () => (await device.status()).state === 'listening');
    expect(device.failure).toBeUndefined();
    victim.ring.submit([1, 2, 3]);
    expect(await victim.ring.collect(victim.frontEnd.poller, 1)).toEqual([3]);
    // The device serves the next one.
    const [next, nextFrontEnd] = await begin(device, 'nothing');
    next.add(PLAIN);
    next.ask();
    await until(() => next.driver.poll()?.written === 4);
    expect(nextFrontEnd.connection.live).toBe(true);
    guest.close();
    next.close();
  });

  it('is not told that a request is done whose answer went nowhere, however late', async () => {
    const device = await addRecorder('recorder');
    const [guest, frontEnd] = await begin(device, 'answer');
    guest.add(LATER);
    guest.ask();
    await until(() => executed() === 1);
    guest.cut();
    guest.add(PLAIN);
    guest.ask();
    expect(await frontEnd.closed).toBe('peer-closed');
    expect(guest.driver.poll()).toBeUndefined();
    guest.close();
  });

  it('is no fault of the device that comes upon it later, in a callback', async () => {
    const device = await addRecorder('recorder');
    const [guest, frontEnd] = await begin(device, 'payload');
    guest.add(READ_LATER);
    guest.ask();
    await until(() => bench().logger.find('held') !== undefined);
    guest.cut();
    guest.add(TRIGGER);
    guest.ask();
    expect(await frontEnd.closed).toBe('peer-closed');
    await until(async () => (await device.status()).state === 'listening');
    expect([executed(), device.failure]).toEqual([0, undefined]);
    guest.close();
  });

  it('loses its other devices, too, and other guests lose none', async () => {
    const [first, second, other] = await Promise.all(['first', 'second', 'other'].map(addRecorder));
    if (first === undefined || second === undefined || other === undefined) throw new Error();
    const [guest, frontEnd] = await begin(first, 'payload');
    const sibling = bench().connect(second);
    sibling.send('VHOST_USER_SET_OWNER', undefined);
    sibling.send('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds);
    await until(async () => (await second.status()).memoryRegions === 1);
    const [stranger, strange] = await begin(other, 'nothing');
    guest.add(PLAIN);
    guest.cut();
    guest.ask();
    expect(await Promise.all([frontEnd.closed, sibling.closed])).toEqual([
      'peer-closed',
      'peer-closed',
    ]);
    expect(bench().logger.find('front-end of device second')?.message).toMatch(
      /device first found/,
    );
    stranger.add(PLAIN);
    stranger.ask();
    await until(() => stranger.driver.poll()?.written === 4);
    expect(strange.connection.live).toBe(true);
    guest.close();
    stranger.close();
  });

  it('costs others nothing, time and again, while they are under load', async () => {
    const device = await addRecorder('recorder');
    const victim = await bench().running();
    let served = 0;
    let over = false;
    const load = (async () => {
      while (!over) {
        victim.ring.submit([1, 2, 3]);
        if ((await victim.ring.collect(victim.frontEnd.poller, 1))[0] === 3) served++;
      }
    })();
    const places: Place[] = ['ring', 'table', 'header', 'payload', 'answer'];
    for (let i = 0; i < 15; i++) {
      const before = served;
      const [guest, frontEnd] = await begin(device, places[i % 5] as Place);
      guest.add(PLAIN);
      guest.cut();
      guest.ask();
      expect(await frontEnd.closed).toBe('peer-closed');
      guest.close();
      await until(() => served > before);
    }
    over = true;
    await load;
    expect(victim.frontEnd.connection.live).toBe(true);
    expect((await device.status()).connections).toBe(15);
  }, 120_000);
});
