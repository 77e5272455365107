import { fork } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  asFd,
  closeFd,
  DirectoryLock,
  dupFd,
  EventFd,
  type Fd,
  O_NONBLOCK,
  setNonBlocking,
  UnixListener,
  UnixStream,
} from '../../src/index.ts';
import { sys } from '../../src/libc.ts';

/** Permissions of a socket file whenever its mode is about to be changed: `octal:gid`. */
const steps = vi.hoisted(() => ({ path: '', seen: [] as string[] }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const look = (): void => {
    if (steps.path === '') return;
    const { mode, gid } = fs.lstatSync(steps.path);
    steps.seen.push(`${(mode & 0o777).toString(8)}:${gid}`);
  };
  return {
    ...fs,
    chownSync: (...args: Parameters<typeof fs.chownSync>) => {
      look();
      fs.chownSync(...args);
    },
    chmodSync: (...args: Parameters<typeof fs.chmodSync>) => {
      look();
      fs.chmodSync(...args);
    },
  };
});

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/${name}.mjs`, import.meta.url));
const ROOT = process.getuid?.() === 0;
const OWN_GROUP = process.getegid?.() ?? 0;
const OTHER_GROUP = ROOT ? 54_321 : OWN_GROUP;

/** A socket file as a killed process leaves it. */
function leaveStale(path: string): void {
  closeFd(UnixListener.bind(path).fd);
}

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'node-vmm-'));
  path = join(dir, 's');
});
afterEach(() => {
  steps.path = '';
  steps.seen = [];
  rmSync(dir, { recursive: true });
});

describe('the socket file of a UnixListener', () => {
  it("is removed, but not another daemon's that took its place", () => {
    const old = UnixListener.bind(path);
    unlinkSync(path);
    const current = UnixListener.bind(path);
    old.close();
    UnixStream.connect(path).close();
    current.close();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('is removed after the process changed its directory, and no other of that name', () => {
    const before = process.cwd();
    try {
      process.chdir(dir);
      const listener = UnixListener.bind('relative');
      process.chdir('/');
      listener.close();
    } finally {
      process.chdir(before);
    }
    expect(readdirSync(dir)).toEqual([]);
  });

  it('is replaced by one of several processes that start at once', {
    timeout: 120_000,
  }, async () => {
    const children = Array.from({ length: 4 }, () =>
      fork(fixture('bind-process'), { execArgv: [] }),
    );
    const answers = (): Promise<unknown[]> =>
      Promise.all(children.map(async (child) => (await once(child, 'message'))[0]));
    try {
      await answers();
      for (let round = 0; round < 50; round++) {
        const contested = join(dir, `${round}`);
        leaveStale(contested);
        const results = answers();
        for (const child of children) child.send(contested);
        expect((await results).sort()).toEqual(['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE', 'bound']);
        UnixStream.connect(contested).close();
      }
    } finally {
      for (const child of children) child.kill();
    }
  });

  it('is left alone when the directory cannot be locked, and says so; a free path is bound', () => {
    leaveStale(path);
    const { ino } = lstatSync(path);
    const lock = DirectoryLock.take(dir);
    expect(() => UnixListener.bind(path)).toThrow(
      /a dead one, but .* cannot be locked.*EADDRINUSE/,
    );
    expect(lstatSync(path).ino).toBe(ino);
    UnixListener.bind(join(dir, 'free')).close();
    lock.close();
    lock.close();
    UnixListener.bind(path).close();
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('permissions of a socket file', () => {
  let umask: number;
  beforeEach(() => {
    umask = process.umask(0o027);
    steps.path = path;
  });
  afterEach(() => process.umask(umask));
  const permissions = (): string => {
    const { mode, gid } = lstatSync(path);
    return `${(mode & 0o777).toString(8)}:${gid}`;
  };

  it.each([
    // Created as the umask leaves it, and only then widened.
    [0o666, undefined, [`640:${OWN_GROUP}`], `666:${OWN_GROUP}`],
    [0o600, undefined, [`600:${OWN_GROUP}`], `600:${OWN_GROUP}`],
    [0o000, undefined, [`0:${OWN_GROUP}`], `0:${OWN_GROUP}`],
    // Nobody's but the owner's until it has its group.
    [0o660, OTHER_GROUP, [`600:${OWN_GROUP}`, `600:${OTHER_GROUP}`], `660:${OTHER_GROUP}`],
    [undefined, OTHER_GROUP, [`600:${OWN_GROUP}`, `600:${OTHER_GROUP}`], `660:${OTHER_GROUP}`],
    [undefined, undefined, [], `750:${OWN_GROUP}`],
  ])('mode %o and group %s: never more open than asked', (mode, group, seen, final) => {
    using _listener = UnixListener.bind(path, {
      ...(mode === undefined ? {} : { mode }),
      ...(group === undefined ? {} : { group }),
    });
    expect(steps.seen).toEqual(seen);
    expect(permissions()).toBe(final);
  });

  it('are set on the file itself, whatever the umask is while it is made', () => {
    process.umask(0);
    using _listener = UnixListener.bind(path, { mode: 0o600 });
    expect(steps.seen).toEqual([`600:${OWN_GROUP}`]);
  });

  it('out of range are refused', () => {
    expect(() => UnixListener.bind(path, { mode: 0o1777 })).toThrow(/"mode" expected/);
    expect(() => UnixListener.bind(path, { group: -1 })).toThrow(/"group" expected/);
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('a descriptor from somebody else', () => {
  const O_CLOEXEC = 0o2000000;
  const F_SETFD = 2;

  const flags = (fd: number): number =>
    Number.parseInt(
      /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '',
      8,
    );

  it.each([
    ['UnixListener', () => UnixListener.bind(path), (fd: Fd) => UnixListener.fromFd(fd)],
    ['UnixStream', () => UnixStream.pair()[0], (fd: Fd) => UnixStream.fromFd(fd)],
    ['EventFd', () => EventFd.create(), (fd: Fd) => EventFd.fromFd(fd)],
  ] as const)('becomes non-blocking and close-on-exec: %s', (_kind, make, fromFd) => {
    using source = make();
    const fd = dupFd(source.fd);
    setNonBlocking(fd, false);
    sys.fcntl(fd, F_SETFD, 0);
    expect(flags(fd) & (O_NONBLOCK | O_CLOEXEC)).toBe(0);
    using taken = fromFd(fd);
    expect(flags(taken.fd) & (O_NONBLOCK | O_CLOEXEC)).toBe(O_NONBLOCK | O_CLOEXEC);
  });

  it('that is no listening Unix stream socket is refused, and stays open', async () => {
    const [stream, peer] = UnixStream.pair();
    const event = EventFd.create();
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const tcp = (server as unknown as { _handle: { fd: number } })._handle.fd;
    const refused: [number, RegExp][] = [
      [
        stream.fd,
        /Cannot listen on descriptor \d+: it does not listen \(pass a Unix stream socket/,
      ],
      [event.fd, /it is no socket/],
      [tcp, /it is no Unix socket/],
      [99_999, /it is not open/],
    ];
    for (const [fd, message] of refused) {
      expect(() => UnixListener.fromFd(asFd(fd))).toThrow(message);
      expect(() => UnixListener.fromFd(asFd(fd))).toThrow(
        expect.objectContaining({ code: 'INVALID_DESCRIPTOR' }),
      );
    }
    const listener = UnixListener.bind(path);
    expect(() => UnixStream.fromFd(listener.fd)).toThrow(/Cannot use descriptor \d+: it listens/);
    for (const open of [stream, peer, event, listener]) open.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
