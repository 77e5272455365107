import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  asFd,
  closeFd,
  openFd,
  socketListens,
  UnixDatagram,
  UnixListener,
  UnixStream,
} from '../../src/index.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'datagram-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('Unix datagrams', () => {
  const text = (message: Uint8Array | undefined): string | undefined =>
    message && Buffer.from(message).toString();

  it.each([
    ['a path', () => join(directory, 'socket')],
    ['an abstract name', () => `@node-vmm-test-${process.pid}`],
  ])('reach %s, each message whole', (_name, address) => {
    using receiver = UnixDatagram.bind(address());
    expect(receiver.receive()).toBeUndefined();
    UnixDatagram.send(address(), Buffer.from('READY=1\nSTATUS=well'));
    UnixDatagram.send(address(), Buffer.from('STOPPING=1'));
    expect(text(receiver.receive())).toBe('READY=1\nSTATUS=well');
    expect(text(receiver.receive())).toBe('STOPPING=1');
    expect(receiver.receive()).toBeUndefined();
  });

  it('go through one socket to whoever is at an address at the time', () => {
    const path = join(directory, 'socket');
    const sender = UnixDatagram.unbound();
    for (const message of ['first', 'second']) {
      using receiver = UnixDatagram.bind(path);
      sender.sendTo(path, Buffer.from(message));
      expect(text(receiver.receive())).toBe(message);
    }
    expect(() => sender.sendTo(path, Buffer.from('nobody'))).toThrow(/ENOENT/);
    sender.close();
    expect(() => sender.sendTo(path, Buffer.from('late'))).toThrow(/has been closed/);
  });

  it('leave no file, and nobody to send to', () => {
    const path = join(directory, 'socket');
    const receiver = UnixDatagram.bind(path);
    receiver.close();
    receiver.close();
    expect(existsSync(path)).toBe(false);
    expect(() => UnixDatagram.send(path, Buffer.from('x'))).toThrow(/ENOENT/);
    expect(() => receiver.receive()).toThrow(/has been closed/);
  });

  it('do not wait for a receiver that takes nothing', () => {
    const path = join(directory, 'socket');
    using _receiver = UnixDatagram.bind(path);
    const fill = (): void => {
      for (let i = 0; i < 100_000; i++) UnixDatagram.send(path, new Uint8Array(1024));
    };
    expect(fill).toThrow(/EAGAIN/);
  });

  it('refuse addresses that cannot be', () => {
    expect(() => UnixDatagram.send('', new Uint8Array(1))).toThrow(RangeError);
    expect(() => UnixDatagram.send(`@${'x'.repeat(107)}`, new Uint8Array(1))).toThrow(RangeError);
    expect(() => UnixDatagram.bind(`/${'x'.repeat(107)}`)).toThrow(RangeError);
  });
});

describe('a socket that somebody passed', () => {
  it('listens, is connected, or is none', () => {
    const path = join(directory, 'socket');
    using listener = UnixListener.bind(path);
    using client = UnixStream.connect(path);
    expect(socketListens(listener.fd)).toBe(true);
    expect(socketListens(client.fd)).toBe(false);
    const file = openFd('/dev/null');
    expect(() => socketListens(file)).toThrow(/it is no socket \(pass a Unix stream socket\)/);
    closeFd(file);
    expect(() => socketListens(asFd(100_000))).toThrow(/it is not open/);
  });
});
