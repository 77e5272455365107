// Hostile front-ends fill the daemon's table of open files: everybody else goes on.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FrontEnd, Guest, GuestRing, negotiate } from '@node-vmm/vhost-user-backend/testing';
import { EventFd, UnixDatagram } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const DAEMON = fileURLToPath(new URL('../fixtures/plain-daemon.mjs', import.meta.url));
const GUESTS = 16;
const LIMITED = ['-c', 'ulimit -n "$0" && exec "$@"'];
const PATIENCE = { timeout: 60_000 };
/** One message's descriptors, and so much of it that it never ends. */
const IN_FLIGHT = 32;
const RINGS = 2;
const LOOKS = 10;
const LOOK_MS = 50;
const PATIENT_LOOKS = 100;
const SHORT_LOOK_MS = 5;
const CALL = { index: 0, hasFd: true };

interface Served {
  readonly daemon: ChildProcess;
  readonly ended: Promise<[number | null, string | null]>;
  /** What it may have. */
  readonly limit: number;
  readonly log: () => string;
  readonly files: () => number;
}

/** How many are open, without those that are open for a moment. */
async function settled(files: () => number): Promise<number> {
  let least = files();
  for (let look = 1; look < LOOKS; look++) {
    await delay(SHORT_LOOK_MS);
    least = Math.min(least, files());
  }
  return least;
}

/** Waits until so many are open, but not for ever. */
async function reached(files: () => number, count: number): Promise<void> {
  for (let look = 0; look < PATIENT_LOOKS && files() < count; look++) await delay(LOOK_MS);
}

describe('a daemon whose table of open files is full', { timeout: 240_000 }, () => {
  let directory: string;
  let toClose: { close(): void }[];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'cli-'));
    toClose = [];
  });
  afterEach(() => {
    for (const each of toClose.reverse()) each.close();
    rmSync(directory, { recursive: true });
  });

  function kept<T extends { close(): void }>(each: T): T {
    toClose.push(each);
    return each;
  }

  async function serve(): Promise<Served> {
    const control = ['--control-socket', join(directory, 'c')];
    const words = [execPath, DAEMON, '-s', join(directory, 's'), '-c', `${GUESTS}`, ...control];
    const refused = spawnSync('sh', [...LIMITED, '64', ...words], { encoding: 'utf8' });
    const needed = /take (\d+) open/.exec(refused.stderr)?.[1] ?? refused.stderr;
    const env = {
      ...process.env,
      NOTIFY_SOCKET: join(directory, 'notify'),
      WATCHDOG_USEC: '2000000',
    };
    const stdio: ['ignore', 'ignore', 'pipe'] = ['ignore', 'ignore', 'pipe'];
    const daemon = spawn('sh', [...LIMITED, needed, ...words], { stdio, env });
    kept({ close: () => daemon.kill('SIGKILL') });
    let log = '';
    daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    const ended = new Promise<[number | null, string | null]>((resolve) =>
      daemon.on('exit', (status, signal) => resolve([status, signal])),
    );
    await expect.poll(() => log.split('device ready').length - 1, PATIENCE).toBe(GUESTS);
    const files = (): number => readdirSync(`/proc/${daemon.pid}/fd`).length;
    return { daemon, ended, limit: Number(needed), log: () => log, files };
  }

  /** A guest that is served. */
  async function victim(index: number): Promise<{ frontEnd: FrontEnd; ring: GuestRing }> {
    const guest = kept(new Guest());
    const frontEnd = kept(new FrontEnd(join(directory, `s${index}`)));
    await negotiate(frontEnd, guest);
    const ring = kept(new GuestRing(guest, 0));
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    return { frontEnd, ring };
  }

  /** Front-ends that have as much as they can get, and a message each that never ends: until all is used up. */
  async function fill(served: Served, first: number): Promise<FrontEnd[]> {
    const { limit, files } = served;
    const event = kept(EventFd.create());
    const attackers: FrontEnd[] = [];
    for (let index = first; !(await isFull(served)); index++) {
      expect(index, 'too few to fill it').toBeLessThan(GUESTS - 1);
      const frontEnd = await attacker(served, index);
      attackers.push(frontEnd);
      const before = await settled(files);
      const count = Math.min(limit - before, IN_FLIGHT);
      if (count > 0) frontEnd.stream.send(Uint8Array.of(5), Array(count).fill(event.fd));
      // It is refused when what is open for a moment took the room: then the next fills it.
      await reached(files, before + count);
    }
    return attackers;
  }

  /** True when nothing is free, and not for a moment only. */
  async function isFull({ limit, files }: Served): Promise<boolean> {
    for (let look = 0; look < LOOKS; look++) {
      if (files() < limit) return false;
      await delay(LOOK_MS);
    }
    return true;
  }

  /** A front-end that has all descriptors of its rings; of memory none are kept. */
  async function attacker({ limit, files }: Served, index: number): Promise<FrontEnd> {
    const guest = kept(new Guest());
    const event = kept(EventFd.create());
    const before = await settled(files);
    const frontEnd = kept(new FrontEnd(join(directory, `s${index}`)));
    if (limit - before < 2 * IN_FLIGHT) {
      // There is no room for what negotiating takes for a moment: the connection alone takes what is left.
      await expect.poll(files, PATIENCE).toBeGreaterThan(before);
      return frontEnd;
    }
    await negotiate(frontEnd, guest);
    for (let ring = 0; ring < RINGS; ring++) {
      for (const kind of ['KICK', 'CALL', 'ERR'] as const) {
        const payload = { index: ring, hasFd: true };
        expect(await frontEnd.tell(`VHOST_USER_SET_VRING_${kind}`, payload, [event.fd])).toBe(0);
      }
    }
    return frontEnd;
  }

  it('says that it is its own shortage, and serves the guests that it has', async () => {
    const manager = kept(UnixDatagram.bind(join(directory, 'notify')));
    const heard = (): string => Buffer.from(manager.receive() ?? []).toString();
    const served = await serve();
    const { log, files } = served;
    const { frontEnd, ring } = await victim(0);
    const { frontEnd: careless } = await victim(1);
    const before = files();
    const attackers = await fill(served, 2);

    expect(await frontEnd.tell('VHOST_USER_SET_VRING_CALL', CALL, [ring.call.fd])).toBe(1);
    const own =
      'Cannot take the file descriptors of VHOST_USER_SET_VRING_CALL: this process may have no more (EMFILE); raise its limit (ulimit -n';
    await expect.poll(log, PATIENCE).toContain(`request refused: ${own}`);
    const area = { mmapSize: 0n, mmapOffset: 0n, numQueues: 2, queueSize: 64 };
    expect(await frontEnd.ask('VHOST_USER_GET_INFLIGHT_FD', area)).toEqual(area);
    await expect.poll(log, PATIENCE).toContain('no area for requests in flight: memfd_create');
    // Who comes now waits; who comes to the control socket is told to go.
    const newcomer = new FrontEnd(join(directory, `s${GUESTS - 1}`));
    kept(newcomer);
    await expect.poll(log, PATIENCE).toContain('connection not accepted: accept4 failed');
    await new Promise((gone) => connect(join(directory, 'c')).on('error', gone).on('close', gone));
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toHaveLength(1);
    while (heard() !== '') {
      // What was said before the table was full.
    }
    await expect.poll(heard, PATIENCE).toBe('WATCHDOG=1');

    careless.send('VHOST_USER_SET_VRING_CALL', CALL, [ring.call.fd]);
    expect(await careless.closed).toBe('peer-closed');
    await expect.poll(log, PATIENCE).toContain(`connection dropped: ${own}`);
    expect(log()).not.toContain('more than 32');

    for (const each of attackers) each.close();
    const guest = kept(new Guest());
    await negotiate(newcomer, guest);
    const late = kept(new GuestRing(guest, 0));
    late.setUp(newcomer);
    expect(await late.enable(newcomer)).toBe(0);
    newcomer.close();
    expect(await frontEnd.tell('VHOST_USER_SET_VRING_CALL', CALL, [ring.call.fd])).toBe(0);
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toHaveLength(1);
    await expect.poll(files, PATIENCE).toBeLessThanOrEqual(before);
  });

  it('says how it is, and ends, when it is asked to', async () => {
    const served = await serve();
    await fill(served, 1);
    served.daemon.kill('SIGUSR1');
    await expect.poll(served.log, PATIENCE).toContain('status');
    served.daemon.kill('SIGTERM');
    expect(await served.ended).toEqual([0, null]);
  });
});
