import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { connectDevice, DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import {
  VIRTIO_GPIO_DIRECTION_IN as IN,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING as RISING,
  VIRTIO_GPIO_MSG_SET_DIRECTION as SET_DIRECTION,
} from '@node-vmm/virtio-bindings/gpio';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { irqType, request, unmask } from '../support/requests.ts';

const main = new URL('../../dist/main.js', import.meta.url);
const PATIENCE = { timeout: 60_000 };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gpio-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const children = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);

it('keeps what a guest has armed when the serving process is killed', {
  timeout: 240_000,
}, async () => {
  const control = join(directory, 'control');
  const args = ['-l', 's3', '--supervised', '--state-dir', directory, '--control-socket', control];
  await using daemon = await DaemonProgram.start({ main, args });
  await using bench = await connectDevice({ socketPath: daemon.socketPath() });
  const command = async (...words: string[]): Promise<Record<string, unknown>> => {
    using client = await ControlClient.connect(control);
    return await client.command(words);
  };
  const ask = (bytes: Uint8Array): Promise<unknown> => bench.queue(0).request([bytes], [2]);
  // While there is no serving process nobody answers there.
  const masked = async (line: number): Promise<unknown> =>
    (await command('line', `${line}`).catch(() => undefined))?.['masked'];

  const events = [1, 2].map(async (line) => {
    await ask(request(SET_DIRECTION, line, IN));
    await ask(irqType(line, RISING));
    return (await bench.queue(1).request([unmask(line)], [1]))[0];
  });
  for (let kill = 0; kill < 3; kill++) {
    for (const line of [1, 2]) await expect.poll(() => masked(line), PATIENCE).toBe(false);
    const [serving = 0] = children(daemon.pid);
    process.kill(serving, 'SIGKILL');
    await expect.poll(() => children(daemon.pid)[0] ?? serving, PATIENCE).not.toBe(serving);
  }
  // The other way round than they were given.
  for (const line of [2, 1]) {
    await expect.poll(() => masked(line), PATIENCE).toBe(false);
    await command('line', `${line}`, '1');
    expect([...((await events[line - 1]) ?? [])]).toEqual([1]);
  }
  expect((await command('state'))['lines']).toMatchObject([
    { direction: 'none' },
    { direction: 'in', trigger: 'rising', latched: false },
    { direction: 'in', trigger: 'rising', latched: false },
  ]);
  expect(await daemon.stop()).toEqual({ code: 0, signal: null });
});

it('wants a directory for states', async () => {
  const { code, stderr } = await DaemonProgram.run(main, [
    ...['-l', 's3', '--supervised', '-s', join(directory, 's')],
  ]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^vhost-device-gpio: Cannot use --supervised: [^\n]*--state-dir[^\n]*\n/);
});
