import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import {
  connectDevice,
  DaemonProgram,
  type DeviceBench,
} from '@node-vmm/vhost-user-backend/testing';
import * as gpio from '@node-vmm/virtio-bindings/gpio';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { irqType, request, unmask } from '../support/requests.ts';

const main = new URL('../../dist/main.js', import.meta.url);
const {
  VIRTIO_GPIO_DIRECTION_IN: IN,
  VIRTIO_GPIO_DIRECTION_OUT: OUT,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH: BOTH,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING: RISING,
  VIRTIO_GPIO_MSG_GET_DIRECTION: GET_DIRECTION,
  VIRTIO_GPIO_MSG_GET_LINE_NAMES: GET_LINE_NAMES,
  VIRTIO_GPIO_MSG_GET_VALUE: GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION: SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_VALUE: SET_VALUE,
} = gpio;
const OK = [0, 0];
const VALID = [1];
const INVALID = [0];

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gpio-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const control = (): string => join(directory, 'control');

/** Starts the program with a control socket and a directory for states. */
function start(list: string, count = 1, ...more: string[]): Promise<DaemonProgram> {
  const args = ['-l', list, '--control-socket', control(), '--state-dir', directory, ...more];
  return DaemonProgram.start({ main, args }, count);
}

async function ask(bench: DeviceBench, bytes: Uint8Array, room = 2): Promise<number[]> {
  const [answer] = await bench.queue(0).request([bytes], [room]);
  return [...(answer ?? [])];
}

/** Unmasks a line. @returns what the event buffer says when it comes back */
async function event(bench: DeviceBench, line: number): Promise<number[]> {
  const [answer] = await bench.queue(1).request([unmask(line)], [1]);
  return [...(answer ?? [])];
}

describe('vhost-device-gpio', () => {
  it('serves a guest on each socket with lines of its own', async () => {
    await using daemon = await start('s3:s1', 2, '--line-names', 'led,,button');
    await using first = await connectDevice({ socketPath: daemon.socketPath(0) });
    await using second = await connectDevice({ socketPath: daemon.socketPath(1) });
    expect([...(await first.readConfig(0, 8))]).toEqual([3, 0, 0, 0, 12, 0, 0, 0]);
    expect([...(await second.readConfig(0, 8))]).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
    expect(await ask(first, request(GET_LINE_NAMES), 13)).toEqual([
      0,
      ...Buffer.from('led\0\0button\0'),
    ]);
    expect(await ask(first, request(SET_VALUE, 0, 1))).toEqual(OK);
    expect(await ask(first, request(SET_DIRECTION, 0, OUT))).toEqual(OK);
    expect(await ask(first, request(GET_VALUE, 0))).toEqual([0, 1]);
    expect(await ask(second, request(GET_VALUE, 0))).toEqual(OK);
    expect(await ask(second, request(GET_VALUE, 1))).toEqual([1, 0]);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  });

  it('has its buttons pressed from outside', async () => {
    await using daemon = await start('s3', 1, '--line-names', 'led,,button');
    await using bench = await connectDevice({ socketPath: daemon.socketPath() });
    using client = await ControlClient.connect(control());
    using watch = await client.watch();
    const events = watch[Symbol.asyncIterator]();
    expect(await ask(bench, request(SET_DIRECTION, 2, IN))).toEqual(OK);
    expect(await ask(bench, irqType(2, BOTH))).toEqual(OK);
    expect((await events.next()).value).toMatchObject({
      ...{ device: 'gpio0', event: 'direction', line: 2, direction: 'in' },
    });
    expect((await events.next()).value).toMatchObject({ event: 'trigger', trigger: 'both' });
    expect(await client.command(['line', 'button', '1'])).toEqual({
      line: 2,
      value: 1,
      edges: [{ edge: 'rising', became: 'latched' }],
    });
    expect(await event(bench, 2)).toEqual(VALID);
    const next = event(bench, 2);
    await expect
      .poll(async () => (await client.command(['line', '2']))['masked'], { timeout: 45_000 })
      .toBe(false);
    expect(await client.command(['line', '2', 'pulse'])).toMatchObject({
      edges: [
        { edge: 'falling', became: 'delivered' },
        { edge: 'rising', became: 'latched' },
      ],
    });
    expect(await next).toEqual(VALID);
    expect(await client.command(['line', '2'])).toMatchObject({
      interrupts: { delivered: 2, latched: 2, coalesced: 0, dropped: 0 },
    });
    await expect(client.command(['line', '3', '1'])).rejects.toMatchObject({ code: 'USAGE' });
    expect(await ask(bench, request(SET_DIRECTION, 0, OUT))).toEqual(OK);
    await expect(client.command(['line', 'led', '1'])).rejects.toMatchObject({ code: 'REFUSED' });
  });

  it('is told of a thousand edges, each once', async () => {
    await using daemon = await start('s2');
    await using bench = await connectDevice({ socketPath: daemon.socketPath() });
    using client = await ControlClient.connect(control());
    await ask(bench, request(SET_DIRECTION, 1, IN));
    await ask(bench, irqType(1, BOTH));
    let interrupts = 0;
    let going = true;
    const driver = async (): Promise<void> => {
      while (going) {
        const [status] = await event(bench, 1);
        if (status === 1) interrupts++;
      }
    };
    const done = driver();
    const became = new Map<string, number>();
    for (let i = 0; i < 1000; i += 50) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, j) =>
          client.command(['line', '1', (i + j) % 2 === 0 ? '1' : '0']),
        ),
      );
      for (const { edges } of answers) {
        for (const { became: word } of edges as { became: string }[]) {
          became.set(word, (became.get(word) ?? 0) + 1);
        }
      }
    }
    const count = (word: string): number => became.get(word) ?? 0;
    const told = count('delivered') + count('latched');
    expect(told + count('coalesced')).toBe(1000);
    await expect.poll(() => interrupts, { timeout: 45_000 }).toBe(told);
    going = false;
    await ask(bench, irqType(1, 0));
    await done;
    expect(await client.command(['line', '1'])).toMatchObject({
      interrupts: {
        ...{ delivered: told, latched: count('latched') },
        ...{ coalesced: count('coalesced'), dropped: 0 },
      },
    });
    expect(interrupts).toBe(told);
  });

  it('returns event buffers when the queue stops in order, and the latch outlives that', async () => {
    await using daemon = await start('s2');
    await using bench = await connectDevice({ socketPath: daemon.socketPath() });
    using client = await ControlClient.connect(control());
    await ask(bench, irqType(1, RISING));
    const held = event(bench, 1);
    await expect
      .poll(async () => (await client.command(['line', '1']))['masked'], { timeout: 45_000 })
      .toBe(false);
    const base = await bench.queue(1).stop();
    expect(await held).toEqual(INVALID);
    await client.command(['line', '1', '1']);
    await bench.queue(1).start(base);
    expect(await event(bench, 1)).toEqual(VALID);
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'has its lines as they were after %s',
    async (signal) => {
      {
        await using daemon = await start('s3');
        await using bench = await connectDevice({ socketPath: daemon.socketPath() });
        using client = await ControlClient.connect(control());
        await ask(bench, request(SET_VALUE, 0, 1));
        await ask(bench, request(SET_DIRECTION, 0, OUT));
        await ask(bench, request(SET_DIRECTION, 1, IN));
        await ask(bench, irqType(1, RISING));
        await client.command(['line', '1', 'pulse']);
        await client.command(['line', '2', '1']);
        await daemon.stop(signal);
      }
      await using daemon = await start('s3');
      using client = await ControlClient.connect(control());
      expect((await client.command(['state']))['lines']).toMatchObject([
        { direction: 'out', value: 1 },
        { direction: 'in', value: 0, trigger: 'rising', latched: true },
        { direction: 'none', value: 1 },
      ]);
      await using bench = await connectDevice({ socketPath: daemon.socketPath() });
      expect(await ask(bench, request(GET_DIRECTION, 0))).toEqual([0, OUT]);
      expect(await ask(bench, request(GET_VALUE, 0))).toEqual([0, 1]);
      expect(await event(bench, 1)).toEqual(VALID);
    },
  );

  it('says what is wrong with a command line', async () => {
    const { code, stderr } = await DaemonProgram.run(main, [
      '-s',
      join(directory, 'x'),
      '-l',
      's0',
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^vhost-device-gpio: Cannot read device list "s0".*--help\n$/);
  });
});
