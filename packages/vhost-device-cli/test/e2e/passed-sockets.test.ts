import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FrontEnd } from '@node-vmm/vhost-user-backend/testing';
import { asFd, closeFd, UnixDatagram, UnixListener, type UnixStream } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SupervisedDaemon } from '../support/passed-sockets.ts';

const PATIENCE = { timeout: 45_000 };
const EXIT_OK = { code: 0, signal: null };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cli-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const path = (name: string): string => join(directory, name);

/** The device's number, and whether its process still has the service manager's variables. */
async function identity(frontEnd: FrontEnd): Promise<number[]> {
  const all = await frontEnd.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
  frontEnd.send('VHOST_USER_SET_PROTOCOL_FEATURES', all);
  const config = { offset: 0, flags: 0, data: new Uint8Array(2) };
  return [...(await frontEnd.ask('VHOST_USER_GET_CONFIG', config)).data];
}

describe('--fd', () => {
  it('of a connected socket serves that front-end, and ends with it', async () => {
    using listener = UnixListener.bind(path('s'));
    const frontEnd = new FrontEnd(path('s'));
    const passed = listener.accept() as UnixStream;
    await using daemon = new SupervisedDaemon(['--fd', '3'], [passed.fd]);
    expect(await identity(frontEnd)).toEqual([0, 0]);
    closeFd(passed.fd);
    frontEnd.close();
    expect(await daemon.exit).toEqual(EXIT_OK);
    expect(daemon.stderr).toContain('the front-end that was passed has gone');
  });

  it('of a listening socket serves one front-end after another until a signal', async () => {
    using listener = UnixListener.bind(path('s'));
    await using daemon = new SupervisedDaemon(['--fd=3'], [listener.fd]);
    for (let i = 0; i < 2; i++) {
      const frontEnd = new FrontEnd(path('s'));
      expect(await identity(frontEnd)).toEqual([0, 0]);
      frontEnd.close();
    }
    daemon.child.kill('SIGTERM');
    expect(await daemon.exit).toEqual(EXIT_OK);
    // Whose it is removes it.
    expect(existsSync(path('s'))).toBe(true);
  });

  it('of what is no socket ends with 1 and one line', async () => {
    const file = openSync('/dev/null', 'r');
    await using daemon = new SupervisedDaemon(['--fd', '3'], [file]);
    expect(await daemon.exit).toEqual({ code: 1, signal: null });
    expect(daemon.stderr).toMatch(/^fixture: Cannot use descriptor 3: it is no socket[^\n]*\n$/);
    closeFd(asFd(file));
    await using closed = new SupervisedDaemon(['--fd', '99']);
    expect(await closed.exit).toEqual({ code: 1, signal: null });
    expect(closed.stderr).toMatch(/^fixture: Cannot use descriptor 99: it is not open[^\n]*\n$/);
  });

  it('besides --socket-path ends with 2 and one line', async () => {
    await using daemon = new SupervisedDaemon(['--fd', '3', '--socket-path', path('s')]);
    expect(await daemon.exit).toEqual({ code: 2, signal: null });
    expect(daemon.stderr).toMatch(/^fixture: [^\n]*cannot be used with[^\n]*--help\n$/);
  });
});

it('--queue-workers serves the queues of one device in several threads', async () => {
  await using daemon = new SupervisedDaemon(['-s', path('s'), '--queue-workers', '2']);
  await expect.poll(() => daemon.stderr, PATIENCE).toContain('device ready');
  const threads = [...daemon.stderr.matchAll(/"threadId":(\d+)/g)].map(([, id]) => id);
  expect(threads).toHaveLength(2);
  expect(new Set(threads).size).toBe(2);
});

describe('a service manager', () => {
  const heard = (receiver: UnixDatagram): string[] => {
    const messages: string[] = [];
    for (let next = receiver.receive(); next !== undefined; next = receiver.receive()) {
      messages.push(Buffer.from(next).toString());
    }
    return messages;
  };

  it('passes sockets, a device each in their order, and is told when all is served', async () => {
    using first = UnixListener.bind(path('a'));
    using second = UnixListener.bind(path('b'));
    using receiver = UnixDatagram.bind(path('notify'));
    await using daemon = new SupervisedDaemon(['--workers', '2'], [first.fd, second.fd], {
      LISTEN_PID: '$$',
      LISTEN_FDS: '2',
      LISTEN_FDNAMES: 'left:right',
      NOTIFY_SOCKET: path('notify'),
    });
    const all: string[] = [];
    await expect.poll(() => all.push(...heard(receiver)), PATIENCE).toBe(1);
    expect(all).toEqual(['READY=1\nSTATUS=2 of 2 devices served']);
    for (const [index, name] of ['a', 'b'].entries()) {
      const frontEnd = new FrontEnd(path(name));
      expect(await identity(frontEnd)).toEqual([index, 0]);
      frontEnd.close();
    }
    await expect.poll(() => daemon.stderr, PATIENCE).toContain('"passed":["left","right"]');
    daemon.child.kill('SIGTERM');
    expect(await daemon.exit).toEqual(EXIT_OK);
    expect(heard(receiver)).toEqual(['STOPPING=1\nSTATUS=ending']);
  });

  it('hears no READY=1 of a daemon that does not come to serve', async () => {
    using receiver = UnixDatagram.bind(path('notify'));
    await using daemon = new SupervisedDaemon(['-s', path('s')], [], {
      NOTIFY_SOCKET: path('notify'),
      FAILS: '1',
    });
    expect(await daemon.exit).toEqual({ code: 1, signal: null });
    expect(daemon.stderr).toMatch(/made to fail/);
    expect(heard(receiver)).toEqual([]);
  });

  it('that says another number of sockets than the command line ends it with 2', async () => {
    using listener = UnixListener.bind(path('a'));
    const env = { LISTEN_PID: '$$', LISTEN_FDS: '1' };
    await using daemon = new SupervisedDaemon(['-c', '2'], [listener.fd], env);
    expect(await daemon.exit).toEqual({ code: 2, signal: null });
    expect(daemon.stderr).toMatch(/^fixture: [^\n]*has opened 1 sockets; see fixture --help\n$/);
  });

  it('is told that all is well by a daemon whose workers answer, and by no other', async () => {
    const hold = path('hold');
    writeFileSync(hold, '');
    using receiver = UnixDatagram.bind(path('notify'));
    await using daemon = new SupervisedDaemon(['-s', path('s'), '--log-level', 'silent'], [], {
      NOTIFY_SOCKET: path('notify'),
      WATCHDOG_PID: '$$',
      WATCHDOG_USEC: '200000',
      HOLD: hold,
    });
    const wellSaid = (): number => heard(receiver).filter((text) => text === 'WATCHDOG=1').length;
    let said = 0;
    const more = (): number => {
      said += wellSaid();
      return said;
    };
    await expect.poll(more, PATIENCE).toBeGreaterThan(2);
    const frontEnd = new FrontEnd(path('s'));
    frontEnd.send('VHOST_USER_SET_OWNER', undefined);
    frontEnd.send('VHOST_USER_SET_FEATURES', 1n << 32n);
    // The worker waits in its device. The status says so, after a second in which five would have come.
    const notAnswering = (): boolean => {
      daemon.child.kill('SIGUSR1');
      return daemon.stderr.includes('not answering');
    };
    await expect.poll(notAnswering, { ...PATIENCE, interval: 200 }).toBe(true);
    wellSaid();
    const statuses = daemon.stderr.length;
    await expect.poll(() => notAnswering() && daemon.stderr.length > statuses, PATIENCE).toBe(true);
    expect(wellSaid()).toBe(0);
    rmSync(hold);
    said = 0;
    await expect.poll(more, PATIENCE).toBeGreaterThan(0);
    frontEnd.close();
    daemon.child.kill('SIGTERM');
    expect(await daemon.exit).toEqual(EXIT_OK);
  });
});
