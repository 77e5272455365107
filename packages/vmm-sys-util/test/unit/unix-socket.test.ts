import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  closeFd,
  closeFds,
  EventFd,
  type Fd,
  SysError,
  UnixListener,
  UnixStream,
} from '../../src/index.ts';

const openFds = (): number => readdirSync('/proc/self/fd').length;

describe('UnixStream', () => {
  it('tells which process is at the other end', () => {
    const [a, b] = UnixStream.pair();
    expect(a.peerPid).toBe(process.pid);
    b.close();
    expect(a.peerPid).toBe(process.pid);
    a.close();
    expect(() => a.peerPid).toThrow(SysError);
  });

  it('passes several descriptors with bytes', () => {
    const [a, b] = UnixStream.pair();
    using one = EventFd.create();
    using two = EventFd.create();
    expect(a.send(Uint8Array.of(1, 2, 3), [one.fd, two.fd])).toBe(3);
    const received = b.receive(new Uint8Array(16));
    expect(received).toMatchObject({ bytes: 3, truncated: false });
    const fds = received?.fds ?? [];
    expect(fds).toHaveLength(2);
    const copy = EventFd.fromFd(fds[1] as Fd);
    copy.signal();
    expect(two.drain()).toBe(true);
    expect(one.drain()).toBe(false);
    closeFds(fds);
    a.close();
    b.close();
  });

  it('delivers descriptors with the first part of a message read in pieces', () => {
    const [a, b] = UnixStream.pair();
    using one = EventFd.create();
    a.send(Uint8Array.of(1, 2, 3, 4), [one.fd]);
    const target = new Uint8Array(2);
    const first = b.receive(target);
    expect(first?.fds).toHaveLength(1);
    expect(b.receive(target)).toMatchObject({ bytes: 2, fds: [] });
    expect(b.receive(target)).toBeUndefined();
    closeFds(first?.fds ?? []);
    a.close();
    expect(b.receive(target)).toMatchObject({ bytes: 0 });
    b.close();
  });

  it('refuses truncated control data and closes what came', () => {
    const [a, b] = UnixStream.pair();
    const events = Array.from({ length: 5 }, () => EventFd.create());
    const small = UnixStream.fromFd(b.fd, { maxFds: 2 });
    a.send(
      Uint8Array.of(1),
      events.map((e) => e.fd),
    );
    const before = openFds();
    expect(small.receive(new Uint8Array(4))).toEqual({ bytes: 1, fds: [], truncated: true });
    expect(openFds()).toBe(before);
    expect(() =>
      small.send(
        Uint8Array.of(1),
        events.map((e) => e.fd),
      ),
    ).toThrow(RangeError);
    for (const e of events) e.close();
    a.close();
    b.close();
  });

  it('says when the socket is full and when the peer is gone', () => {
    const [a, b] = UnixStream.pair();
    const chunk = new Uint8Array(65_536);
    let sent = 0;
    for (;;) {
      const n = a.send(chunk);
      if (n < 0) break;
      sent += n;
    }
    expect(sent).toBeGreaterThan(65_536);
    b.close();
    expect(() => a.send(chunk)).toThrow(/EPIPE|ECONNRESET/);
    a.close();
  });
});

describe('UnixListener', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'node-vmm-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  it('accepts connections and removes its socket file', () => {
    const before = openFds();
    const path = join(dir, 's');
    const listener = UnixListener.bind(path);
    expect(listener.accept()).toBeUndefined();
    const client = UnixStream.connect(path);
    const server = listener.accept();
    client.send(Uint8Array.of(7));
    expect(server?.receive(new Uint8Array(1))?.bytes).toBe(1);
    client.close();
    server?.close();
    listener.close();
    expect(readdirSync(dir)).toEqual([]);
    expect(openFds()).toBe(before);
  });

  it('replaces a stale socket, but neither one in use nor another file', () => {
    const path = join(dir, 's');
    const stale = UnixListener.bind(path);
    closeFd(stale.fd); // as a killed process leaves it
    const listener = UnixListener.bind(path);
    expect(() => UnixListener.bind(path)).toThrow(`bind failed on ${path}: EADDRINUSE`);
    listener.close();
    writeFileSync(path, 'precious');
    expect(() => UnixListener.bind(path)).toThrow(/EADDRINUSE/);
    expect(readdirSync(dir)).toEqual(['s']);
  });

  it('explains a connection that cannot be made', () => {
    expect(() => UnixStream.connect(join(dir, 'nobody'))).toThrow(SysError);
    expect(() => UnixStream.connect(join(dir, 'nobody'))).toThrow(/connect failed on .*: ENOENT/);
    expect(() => UnixStream.connect('x'.repeat(108))).toThrow(/1\.\.107 bytes/);
  });
});
