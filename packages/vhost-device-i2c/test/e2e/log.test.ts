import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DaemonProcess, MAIN, socketDirectory } from '../support/daemon.ts';
import { SocketGuest } from '../support/socket-guest.ts';

let directory: ReturnType<typeof socketDirectory>;
let socket: string;
let reader: number | undefined;
beforeEach(() => {
  directory = socketDirectory();
  socket = join(directory.path, 'i2c.sock');
});
afterEach(() => {
  if (reader !== undefined) closeSync(reader);
  reader = undefined;
  directory[Symbol.dispose]();
});

/** Connects as a front-end, and goes again at once. */
async function visit(path: string): Promise<void> {
  const client = connect(path);
  await once(client, 'connect');
  client.end();
  client.resume();
  await once(client, 'close');
}

/** Makes a pipe that nobody reads, full. @returns its path */
function fullPipe(path: string): string {
  execFileSync('mkfifo', [path]);
  reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(writer, 'x');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  closeSync(writer);
  return path;
}

describe("the daemon's log", () => {
  it('has no more lines than the limit, however often a peer comes and goes', async () => {
    const daemon = new DaemonProcess('-s', socket, '--simulate');
    await daemon.logged('device ready');
    const visits = 300;
    for (let i = 0; i < visits; i++) await visit(socket);
    daemon.kill('SIGUSR1');
    await daemon.logged('status');
    const [status] = daemon.log.filter(({ msg }) => msg === 'status');
    expect(status).toMatchObject({ status: { devices: [{ connections: visits }] } });
    const connected = daemon.log.filter(({ msg }) => msg === 'front-end connected');
    expect(connected.length).toBeGreaterThanOrEqual(100);
    // One more for each ten seconds that this took.
    expect(connected.length).toBeLessThan(visits / 2);
    daemon.kill('SIGTERM');
    expect(await daemon.exit).toEqual({ code: 0, signal: null });
  });

  it.each([
    ['a full disk', () => '/dev/full'],
    ['a pipe whose reader stalls', () => fullPipe(join(directory.path, 'log'))],
  ])('on %s stops no guest and no end', async (_, path) => {
    const stderr = openSync(path(), constants.O_WRONLY);
    const child = spawn(process.execPath, [MAIN, '-s', socket, '--simulate'], {
      stdio: ['ignore', 'ignore', stderr],
    });
    closeSync(stderr);
    while (!existsSync(socket)) await delay(20);
    const guest = await SocketGuest.connect(socket);
    expect(await guest.read(0x50, 0, 1)).toEqual([255]);
    guest.close();
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});

describe('SIGUSR1', () => {
  it('shows every device as one line of JSON, though the level is silent', async () => {
    const daemon = new DaemonProcess(
      '-s',
      socket,
      '-c',
      '2',
      '--simulate',
      '--log-level',
      'silent',
    );
    while (!existsSync(`${socket}1`)) await delay(20);
    const guest = await SocketGuest.connect(`${socket}1`);
    await guest.read(0x50, 0, 1);
    daemon.kill('SIGUSR1');
    await daemon.logged('status');
    expect(daemon.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(daemon.log).toMatchObject([
      {
        pid: daemon.pid,
        status: {
          devices: [
            { name: 'i2c0', state: 'listening', connections: 0 },
            {
              name: 'i2c1',
              state: 'connected',
              socketPath: `${socket}1`,
              connections: 1,
              memoryRegions: 1,
              rings: [{ chains: 2, malformedChains: 0 }],
            },
          ],
        },
      },
    ]);
    guest.close();
    daemon.kill('SIGTERM');
    expect(await daemon.exit).toEqual({ code: 0, signal: null });
  });
});
