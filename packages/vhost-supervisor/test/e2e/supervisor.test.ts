import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  connectDevice,
  FrontEnd,
  Guest,
  GuestRing,
  negotiate,
} from '@node-vmm/vhost-user-backend/testing';
import { UnixListener } from '@node-vmm/vmm-sys-util';
import { MemoryLogger, stopProcess, withoutRoom } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Supervisor } from '../../src/index.ts';

const SERVE = fileURLToPath(new URL('../fixtures/serve.mjs', import.meta.url));
const KILLS = Number(process.env['NODE_VMM_KILLS'] ?? 5);

let directory: string;
let logger: MemoryLogger;
let supervisor: Supervisor | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'supervisor-test-'));
  logger = new MemoryLogger();
});
afterEach(async () => {
  await supervisor?.close();
  supervisor = undefined;
  rmSync(directory, { recursive: true });
});

const path = (index: number): string => join(directory, `socket${index}`);
const fds = (): number => readdirSync('/proc/self/fd').length;

async function start(count = 1, prefix?: string): Promise<Supervisor> {
  const sockets = Array.from({ length: count }, (_, index) => ({
    name: `test${index}`,
    listener: UnixListener.bind(path(index)),
  }));
  supervisor = new Supervisor({
    serve: (own) => [SERVE, prefix ?? own, String(count)],
    sockets,
    logger,
  });
  await supervisor.whenReady();
  return supervisor;
}

const pidOf = (bytes: Uint8Array | undefined): number => Buffer.from(bytes ?? []).readUInt32LE(0);

it('a front-end goes on where it was when the serving process was killed', {
  timeout: 120_000,
}, async () => {
  const running = await start();
  await using bench = await connectDevice({ socketPath: path(0) });
  const queue = bench.queue(0);
  const served = new Set<number>();
  let before: number | undefined;
  for (let i = 0; i < KILLS; i++) {
    for (let n = 0; n < 20; n++) served.add(pidOf((await queue.request([], [64]))[0]));
    before ??= fds();
    process.kill(running.pid ?? 0, 'SIGKILL');
    // Asked of the dead one, answered by the next.
    served.add(pidOf((await queue.request([], [64]))[0]));
  }
  expect(logger.saying('device lost')).toEqual([]);
  expect(served.size).toBe(KILLS + 1);
  // Those of a child that has gone are closed a turn later.
  await expect.poll(fds).toBeLessThanOrEqual((before ?? 0) + 1);
  // Said once all of it is served, which the answer is quicker than.
  await expect.poll(() => logger.saying('served again').length, { timeout: 45_000 }).toBe(KILLS);
});

it('also when the next one was killed before it served', async () => {
  const running = await start();
  await using bench = await connectDevice({ socketPath: path(0) });
  const queue = bench.queue(0);
  const first = pidOf((await queue.request([], [64]))[0]);
  process.kill(first, 'SIGKILL');
  await expect.poll(() => running.pid ?? first, { timeout: 45_000 }).not.toBe(first);
  const second = running.pid ?? 0;
  process.kill(second, 'SIGKILL');
  expect([first, second]).not.toContain(pidOf((await queue.request([], [64]))[0]));
});

it('is refused, and leaves nothing, where its own socket would have too long a path', () => {
  const deep = join(directory, 'x'.repeat(90));
  mkdirSync(deep);
  const { TMPDIR } = process.env;
  process.env['TMPDIR'] = deep;
  using listener = UnixListener.bind(path(0));
  const sockets = [{ name: 'test0', listener }];
  try {
    expect(() => new Supervisor({ serve: () => [], sockets, logger })).toThrow(
      expect.objectContaining({
        code: 'PATH_TOO_LONG',
        message: expect.stringMatching(
          /^Cannot make the socket \S+: [^\n]+; set TMPDIR to [^\n]+$/,
        ),
      }),
    );
  } finally {
    if (TMPDIR === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = TMPDIR;
  }
  expect(readdirSync(deep)).toEqual([]);
});

it('says that it has no room for the descriptors of a front-end, and goes on with it', async () => {
  const listener = UnixListener.bind(path(0));
  const accept = listener.accept.bind(listener);
  let lacks = false;
  listener.accept = (options) => {
    const stream = accept(options);
    return stream && withoutRoom(stream, () => lacks);
  };
  const serve = (own: string): string[] => [SERVE, own, '1'];
  supervisor = new Supervisor({ serve, sockets: [{ name: 'test0', listener }], logger });
  await supervisor.whenReady();
  const guest = new Guest();
  const frontEnd = new FrontEnd(path(0));
  const ring = new GuestRing(guest, 0);
  try {
    await negotiate(frontEnd, guest);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    lacks = true;
    const call = { index: 0, hasFd: true };
    expect(await frontEnd.tell('VHOST_USER_SET_VRING_CALL', call, [ring.call.fd])).toBe(1);
    expect(
      logger.saying('Cannot take the file descriptors of VHOST_USER_SET_VRING_CALL'),
    ).toHaveLength(1);
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toHaveLength(1);
    // Nobody waits for an answer to this one.
    frontEnd.send('VHOST_USER_SET_VRING_CALL', call, [ring.call.fd]);
    expect(await frontEnd.closed).toBe('peer-closed');
    expect(logger.saying('connection dropped: Cannot take')).toHaveLength(1);
  } finally {
    for (const each of [ring, frontEnd, guest]) each.close();
  }
});

it('serves every socket, and one front-end after another', async () => {
  const running = await start(2);
  for (const index of [0, 1, 0]) {
    await using bench = await connectDevice({ socketPath: path(index) });
    expect(pidOf((await bench.queue(0).request([], [8]))[0])).toBe(running.pid);
  }
});

it('a front-end that comes while the serving process is away waits for the next', async () => {
  const running = await start();
  const { pid = 0 } = running;
  process.kill(pid, 'SIGKILL');
  await using bench = await connectDevice({ socketPath: path(0) });
  expect(pidOf((await bench.queue(0).request([], [8]))[0])).not.toBe(pid);
});

it('a serving process that never serves is given up, with how it ended', async () => {
  await expect(start(1, 'broken')).rejects.toMatchObject({
    code: 'SERVING_PROCESS_FAILED',
    context: { status: 3 },
  });
});

it('says whether the serving process answers', async () => {
  const running = await start();
  const { pid = 0 } = running;
  expect(await running.responsive(20_000)).toBe(true);
  await stopProcess(pid);
  expect(await running.responsive(50)).toBe(false);
  process.kill(pid, 'SIGCONT');
  expect(await running.responsive(20_000)).toBe(true);
});

it('closes while a request waits for a serving process that is away', async () => {
  const running = await start();
  process.kill(running.pid ?? 0, 'SIGKILL');
  await expect.poll(() => running.pid, { timeout: 45_000, interval: 1 }).toBeDefined();
  const frontEnd = new FrontEnd(path(0));
  frontEnd.send('VHOST_USER_GET_FEATURES', undefined);
  await expect.poll(() => logger.find('front-end connected'), { timeout: 45_000 }).toBeDefined();
  await running.close();
  expect(await frontEnd.closed).toBe('peer-closed');
});

it('leaves no process, socket or directory behind', async () => {
  // Other tests have supervisors meanwhile.
  const own = join(directory, 'own');
  mkdirSync(own);
  const { TMPDIR } = process.env;
  process.env['TMPDIR'] = own;
  try {
    const running = await start();
    expect(readdirSync(own)).toHaveLength(1);
    const { pid = 0 } = running;
    await running.close();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(readdirSync(own)).toEqual([]);
    expect(readdirSync(directory)).toEqual(['own']);
  } finally {
    if (TMPDIR === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = TMPDIR;
  }
});
