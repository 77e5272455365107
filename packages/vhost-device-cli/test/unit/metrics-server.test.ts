import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import workerThreads from 'node:worker_threads';
import { openFds } from '@node-vmm/vhost-user-backend/testing';
import type { Metric } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openMetrics } from '../../src/index.ts';

const { Worker } = workerThreads;

type Where = { readonly socketPath: string } | { readonly host: string; readonly port: number };

function ask(
  where: Where,
  path = '/metrics',
  method = 'GET',
): Promise<[number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...where, path, method }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve([response.statusCode, text]));
    });
    asked.on('error', reject).end();
  });
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const gauge = (value: number): Metric[] => [
  { name: 'guests', help: 'Guests', type: 'gauge', samples: [{ value }] },
];

/** As Node refuses one. */
class Refused {
  constructor() {
    throw Object.assign(new Error('Worker terminated: out of memory'), {
      code: 'ERR_WORKER_OUT_OF_MEMORY',
    });
  }
}

class Broken extends Worker {
  constructor() {
    super(new URL('data:text/javascript,throw new Error("no such module")'));
  }
}

/** What `Worker` of `node:worker_threads` is for all modules until this is disposed of. */
class ReplacedWorker implements Disposable {
  constructor(replacement: unknown) {
    Object.assign(workerThreads, { Worker: replacement });
    syncBuiltinESMExports();
  }

  [Symbol.dispose](): void {
    Object.assign(workerThreads, { Worker });
    syncBuiltinESMExports();
  }
}

describe('Metrics', () => {
  let dir: string;
  let path: string;
  let logger: MemoryLogger;
  let sockets: Socket[];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'cli-'));
    path = join(dir, 'metrics');
    logger = new MemoryLogger();
    sockets = [];
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    rmSync(dir, { recursive: true });
  });

  function raw(text: string): Socket {
    const socket = connect({ path });
    socket.on('error', () => undefined);
    socket.write(text);
    sockets.push(socket);
    return socket;
  }

  it('are served on a socket for its user alone, and it leaves nothing', async () => {
    const before = openFds();
    const served = await openMetrics(path, () => gauge(3), logger);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const [status, text] = await ask({ socketPath: path });
    expect(status).toBe(200);
    expect(text).toContain('\nguests 3\n');
    served?.[Symbol.dispose]();
    expect(existsSync(path)).toBe(false);
    await expect.poll(openFds).toBe(before);
    expect(logger.lines).toEqual([]);
  });

  it.each([
    ['cannot be made', Refused, /out of memory/],
    ['ends before it listens', Broken, /no such module/],
  ])('are not served where their thread %s, and nothing is left', async (_, Thread, why) => {
    const before = openFds();
    using _replaced = new ReplacedWorker(Thread);
    for (const where of [path, `${await freePort()}`]) {
      await expect(openMetrics(where, () => gauge(1), logger)).rejects.toMatchObject({
        code: 'METRICS',
        message: expect.stringMatching(why),
      });
    }
    expect(existsSync(path)).toBe(false);
    expect(openFds()).toBe(before);
  });

  it('are served on a port of the loopback', async () => {
    const port = await freePort();
    using _served = await openMetrics(`${port}`, () => gauge(4), logger);
    const [, text] = await ask({ host: '127.0.0.1', port });
    expect(text).toContain('\nguests 4\n');
  });

  it('are not served when nobody asked', async () => {
    expect(await openMetrics(undefined, () => gauge(1), logger)).toBeUndefined();
  });

  it('can be read, and nothing else', async () => {
    using _served = await openMetrics(path, () => gauge(1), logger);
    const where = { socketPath: path };
    expect((await ask(where, '/'))[0]).toBe(404);
    expect((await ask(where, '/metrics/../etc'))[0]).toBe(404);
    expect((await ask(where, '/metrics', 'POST'))[0]).toBe(405);
    expect(await ask(where, '/metrics?x=1', 'HEAD')).toEqual([200, '']);
  });

  it('say why they cannot be collected, and are served again', async () => {
    let broken = true;
    const collect = (): Metric[] => {
      if (broken) throw new Error('no counters');
      return gauge(5);
    };
    using _served = await openMetrics(path, collect, logger);
    expect(await ask({ socketPath: path })).toEqual([503, 'no counters\n']);
    broken = false;
    await expect.poll(async () => (await ask({ socketPath: path }))[0]).toBe(200);
  });

  it('are served beside those who hang, and these are let go', async () => {
    using _served = await openMetrics(path, () => gauge(6), logger);
    const hanging = ['', 'GET /metr', `GET /metrics HTTP/1.1\r\nx: ${'y'.repeat(100_000)}`].map(
      raw,
    );
    const closed = hanging.map(
      (socket) => new Promise((resolve) => socket.resume().once('close', resolve)),
    );
    expect((await ask({ socketPath: path }))[0]).toBe(200);
    await Promise.all(closed);
  });

  it('take nothing of this thread from those who ask again and again', async () => {
    let collected = 0;
    const collect = (): Metric[] => {
      collected++;
      return gauge(7);
    };
    using _served = await openMetrics(path, collect, logger);
    const started = performance.now();
    // Pipelined, of which nobody reads the answers.
    const flood = 'GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(2000);
    for (let i = 0; i < 8; i++) raw(flood).resume();
    for (let i = 0; i < 50; i++) expect((await ask({ socketPath: path }))[0]).toBe(200);
    expect(collected).toBeLessThanOrEqual((performance.now() - started) / 250 + 1);
  });

  it('refuse connections over those that there may be, and serve again', async () => {
    using _served = await openMetrics(path, () => gauge(8), logger);
    const many = Array.from({ length: 16 }, () => raw('GET /me'));
    await Promise.all(many.map((socket) => once(socket, 'connect')));
    await expect.poll(() => ask({ socketPath: path }).catch(() => 'refused')).toBe('refused');
    for (const socket of many) socket.destroy();
    const again = () =>
      ask({ socketPath: path }).then(
        ([status]) => status,
        () => undefined,
      );
    await expect.poll(again).toBe(200);
  });

  it('that cannot be are one clear line', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const open = (address: string) => openMetrics(address, () => gauge(1), logger);
    await expect(open(`${port}`)).rejects.toMatchObject({
      code: 'METRICS',
      message: `Cannot serve metrics on 127.0.0.1:${port}: another process does; stop it or choose another --metrics`,
    });
    taken.close();
    await expect(open('203.0.113.1:9')).rejects.toMatchObject({
      code: 'METRICS',
      message: 'Cannot serve metrics on 203.0.113.1:9: this machine has no such address',
    });
    writeFileSync(path, '');
    await expect(open(path)).rejects.toMatchObject({ code: 'METRICS' });
    await expect(open(`${dir}/`)).rejects.toMatchObject({ code: 'BAD_DIRECTORY' });
    await expect(open(`${dir}/none/m`)).rejects.toMatchObject({ code: 'BAD_DIRECTORY' });
    await expect(open(`/${'x'.repeat(200)}`)).rejects.toMatchObject({ code: 'USAGE' });
    using _first = await open(join(dir, 'second'));
    await expect(open(join(dir, 'second'))).rejects.toMatchObject({
      code: 'METRICS',
      message: expect.stringContaining('another process does'),
    });
  });
});
