import { once } from 'node:events';
import { existsSync, lstatSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { type ServedDevice, VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import { openFds, Sockets } from '@node-vmm/vhost-user-backend/testing';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DaemonControl, openDaemonControl } from '../../src/control/open-daemon.ts';
import { ControlClient } from '../../src/control.ts';

const BUTTON = new URL('../fixtures/button-device.mjs', import.meta.url);
/** For what other processes of a loaded machine have to get done. */
const SOON = { timeout: 45_000 };

describe('The control socket of a daemon', { timeout: 120_000 }, () => {
  let before: number;
  let sockets: Sockets;
  let daemon: VhostUserDaemon;
  let control: DaemonControl;
  let logger: MemoryLogger;
  let path: string;
  let client: ControlClient;
  const raw: Socket[] = [];

  const status = async (): Promise<{ devices: readonly object[] }> => ({
    devices: await daemon.status({ timeoutMs: 5000 }),
  });
  const add = (name: string): Promise<ServedDevice> =>
    daemon.addDevice({ name, module: BUTTON, socketPath: sockets.path() });

  beforeEach(async () => {
    before = openFds();
    sockets = new Sockets();
    path = join(sockets.directory, 'control');
    logger = new MemoryLogger();
    daemon = new VhostUserDaemon({ logger, onDeviceFailed: () => undefined });
  });
  afterEach(async () => {
    client?.close();
    for (const socket of raw.splice(0)) socket.destroy();
    control[Symbol.dispose]();
    expect(existsSync(path)).toBe(false);
    await daemon.close();
    sockets.close();
    // Node closes sockets a turn later.
    await expect.poll(openFds, SOON).toBe(before);
  });

  async function open(...names: string[]): Promise<ServedDevice[]> {
    control = openDaemonControl(path, logger);
    const devices: ServedDevice[] = [];
    for (const name of names) devices.push(await add(name));
    control.serve(devices, status);
    client = await ControlClient.connect(path);
    return devices;
  }

  function rawSocket(): Socket {
    const socket = connect({ path, allowHalfOpen: true });
    // A test that ends connections sees it by what it reads.
    socket.on('error', () => undefined);
    raw.push(socket);
    return socket;
  }

  /** All that is answered until the connection ends. */
  async function exchange(...pieces: (string | Uint8Array)[]): Promise<unknown[]> {
    const socket = rawSocket();
    await once(socket, 'connect');
    for (const piece of pieces) socket.write(piece);
    socket.end();
    return answersOf(socket);
  }

  async function answersOf(socket: Socket): Promise<unknown[]> {
    let text = '';
    try {
      for await (const chunk of socket.setEncoding('utf8')) text += chunk;
    } catch {
      // It was cut off, which is an end, too.
    }
    // What is behind the last end of line is half a line.
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown);
  }

  it('is for the user of the process alone', async () => {
    await open('button');
    expect(lstatSync(path).mode & 0o7777).toBe(0o600);
  });

  it('has the device do what it is told', async () => {
    await open('button');
    expect(await client.command(['say', 'a', 'ü'])).toEqual({ words: ['a', 'ü'] });
    expect(await client.command(['press'])).toEqual({});
    expect(await client.command(['state'], { device: 'button' })).toMatchObject({ presses: 1 });
    expect(await exchange('press\nstate\n')).toEqual([{ ok: true }, { ok: true, presses: 2 }]);
  });

  it('answers many who ask at once, each in its order', async () => {
    await open('button');
    const asked = Array.from({ length: 50 }, (_, n) => client.command(['say', `${n}`]));
    expect(await Promise.all(asked)).toEqual(asked.map((_, n) => ({ words: [`${n}`] })));
  });

  it('says why something is not done', async () => {
    await open('button');
    await expect(client.command(['lock'])).rejects.toMatchObject({
      code: 'REFUSED',
      message: 'Cannot lock: there is no key',
    });
    await expect(client.command(['dance'])).rejects.toMatchObject({ code: 'USAGE' });
    await expect(client.command(['status', 'now'])).rejects.toMatchObject({ code: 'USAGE' });
    await expect(client.command(['watch', 'me'])).rejects.toMatchObject({ code: 'USAGE' });
    await expect(client.command(['state'], { device: 'x' })).rejects.toMatchObject({
      code: 'NO_DEVICE',
      message: 'Cannot ask device x: there is none; say @button',
    });
    await expect(client.command(['a b'])).rejects.toMatchObject({ code: 'USAGE' });
    await expect(client.command(['crash'])).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
    await expect(client.command(['state'])).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
    expect(await client.status()).toMatchObject([{ name: 'button', state: 'failed' }]);
  });

  it('has to be told which of several is meant', async () => {
    await open('button0', 'button1');
    await expect(client.command(['state'])).rejects.toMatchObject({
      code: 'NO_DEVICE',
      message: 'Cannot ask a device: there are several; say @button0, @button1',
    });
    await client.command(['press'], { device: 'button1' });
    expect(await client.command(['@button0', 'state'])).toMatchObject({ presses: 0 });
    expect(await client.command(['@button1', 'state'])).toMatchObject({ presses: 1 });
  });

  it('tells the status that SIGUSR1 logs, of all or one', async () => {
    await open('button0', 'button1');
    expect(await exchange('status\n')).toEqual([
      JSON.parse(JSON.stringify({ ok: true, ...(await status()) })),
    ]);
    expect(await client.status({ device: 'button1' })).toMatchObject([{ name: 'button1' }]);
  });

  it('streams events to who watches, of all or one, and none of before', async () => {
    const [first, second] = await open('button0', 'button1');
    await first?.command(['press']);
    using all = await client.watch();
    using one = await client.watch({ device: 'button1' });
    await first?.command(['press']);
    await second?.command(['press']);
    const next = async (watch: AsyncIterable<unknown>): Promise<unknown> => {
      for await (const event of watch) return event;
      return undefined;
    };
    expect(await next(one)).toEqual({
      device: 'button1',
      type: 'press',
      presses: 1,
      ok: 'of a device',
    });
    expect(await next(all)).toMatchObject({ device: 'button0', presses: 2 });
  });

  it('begins a stream with an answer, and ends it when the client has ended', async () => {
    const [button] = await open('button');
    const socket = rawSocket();
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    socket.write('watch\n');
    await expect.poll(() => text, SOON).toBe('{"ok":true}\n');
    await button?.command(['press']);
    await expect.poll(() => text, SOON).toMatch(/^.*\n\{"device":"button",.*"presses":1,.*\}\n$/);
    // Not heard.
    socket.write('press\n');
    const closed = once(socket, 'close');
    socket.end();
    await closed;
    expect(await button?.command(['state'])).toMatchObject({ presses: 1 });
  });

  it('cuts off who watches and does not read, and goes on', async () => {
    const [button] = await open('button');
    const socket = rawSocket();
    socket.pause();
    socket.write('watch\n');
    // The answer is in the socket when another client is answered who came later.
    await client.command(['state']);
    await expect
      .poll(async () => {
        await button?.command(['fill', '20']);
        return logger.find('who watches does not read') !== undefined;
      }, SOON)
      .toBe(true);
    const told = await answersOf(socket);
    expect(told[0]).toEqual({ ok: true });
    expect(await client.command(['say', 'x'])).toEqual({ words: ['x'] });
  });

  it('does one thing at a time for who does not read answers', async () => {
    const [button] = await open('button');
    const socket = rawSocket();
    socket.pause();
    // Answers of 1 MB: the first stay in the sockets' buffers.
    socket.write('press\nbig\n'.repeat(20));
    await expect.poll(() => button?.command(['state']), SOON).not.toMatchObject({ presses: 0 });
    // Another who asks for as much is answered meanwhile: the one that waits holds up nobody.
    for (let n = 0; n < 40; n++) await client.command(['big']);
    const { presses } = await client.command(['state']);
    expect(presses).toBeLessThan(20);
    socket.end();
    expect(await answersOf(socket)).toHaveLength(40);
    expect(await button?.command(['state'])).toMatchObject({ presses: 20 });
  });

  it('reads requests however they are cut', async () => {
    await open('button');
    const socket = rawSocket();
    for (const byte of Buffer.from('say ü\r\nsay b\n')) {
      await new Promise<void>((resolve) => {
        socket.write(Uint8Array.of(byte), () => resolve());
      });
    }
    socket.end();
    expect(await answersOf(socket)).toEqual([
      { ok: true, words: ['ü'] },
      { ok: true, words: ['b'] },
    ]);
  });

  it('does nothing for half a request', async () => {
    const [button] = await open('button');
    expect(await exchange('press')).toEqual([]);
    expect(await button?.command(['state'])).toMatchObject({ presses: 0 });
  });

  it('refuses lines that are none, and ends who sends one that is too long', async () => {
    await open('button');
    expect(await exchange('\n', Uint8Array.of(0xff, 0x00, 0x0a), 'say \x1b\n', 'say x\n')).toEqual([
      { ok: false, code: 'USAGE', error: expect.stringContaining('no words') },
      { ok: false, code: 'USAGE', error: expect.stringContaining('UTF-8') },
      { ok: false, code: 'USAGE', error: expect.stringContaining('control characters') },
      { ok: true, words: ['x'] },
    ]);
    const socket = rawSocket();
    socket.write(`say x\n${'y'.repeat(100_000)}`);
    expect(await answersOf(socket)).toEqual([
      { ok: true, words: ['x'] },
      { ok: false, code: 'TOO_LONG', error: expect.stringContaining('4096 bytes') },
    ]);
  });

  it('survives who goes in the middle of everything', async () => {
    const [button] = await open('button');
    for (let i = 0; i < 50; i++) {
      const socket = rawSocket();
      socket.write(['watch\n', 'big\n', 'say', '\0\xff', 'press\nstate\n'][i % 5] as string);
      await once(socket, 'connect');
      socket.destroy();
      await button?.command(['press']);
    }
    await expect.poll(() => client.command(['say', 'x']), SOON).toEqual({ words: ['x'] });
    // All of their places are free again.
    await expect
      .poll(async () => {
        const clients = await Promise.all(
          Array.from({ length: 15 }, () => ControlClient.connect(path)),
        );
        const answers = await Promise.allSettled(clients.map((one) => one.command(['say', 'y'])));
        for (const one of clients) one.close();
        return answers.filter(({ status }) => status === 'fulfilled').length;
      }, SOON)
      .toBe(15);
  });

  it('has 16 connections, and says so to the next', async () => {
    await open('button');
    const others: ControlClient[] = [];
    for (let i = 1; i < 16; i++) {
      const other = await ControlClient.connect(path);
      others.push(other);
      await other.command(['state']);
    }
    expect(await exchange('state\n')).toEqual([
      { ok: false, code: 'BUSY', error: expect.stringContaining('16 connections') },
    ]);
    others.pop()?.close();
    await expect
      .poll(async () => {
        using next = await ControlClient.connect(path);
        return await next.command(['say', 'x']).catch(({ code }) => code);
      }, SOON)
      .toEqual({ words: ['x'] });
    for (const other of others) other.close();
  });

  it('ends its clients, who hear it', async () => {
    await open('button');
    using watch = await client.watch();
    control[Symbol.dispose]();
    for await (const event of watch) expect(event).toBeUndefined();
    await expect(client.command(['state'])).rejects.toMatchObject({ code: 'DISCONNECTED' });
    await expect(ControlClient.connect(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('replaces a stale one, and no other', async () => {
    await open('button');
    expect(() => openDaemonControl(path, logger)).toThrow(/another process does.*--control-socket/);
    const file = join(sockets.directory, 'file');
    writeFileSync(file, '');
    expect(() => openDaemonControl(file, logger)).toThrow(/no socket is there.*--control-socket/);
    const nowhere = join(sockets.directory, 'none/control');
    expect(() => openDaemonControl(nowhere, logger)).toThrow(
      expect.objectContaining({ code: 'BAD_DIRECTORY' }),
    );
    expect(() => openDaemonControl('x'.repeat(200), logger)).toThrow(
      expect.objectContaining({ code: 'USAGE' }),
    );
  });
});
