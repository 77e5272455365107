import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Args, parseArgs } from '../../src/args.ts';
import { DaemonProcess, socketDirectory } from '../support/daemon.ts';

let directory: ReturnType<typeof socketDirectory>;
let socket: string;
beforeEach(() => {
  directory = socketDirectory();
  socket = join(directory.path, 'i2c.sock');
});
afterEach(() => directory[Symbol.dispose]());

describe('parseArgs', () => {
  const run = async (...argv: string[]): Promise<Args> => {
    const parsed = await parseArgs(argv);
    if (!('run' in parsed)) throw new Error(parsed.print);
    return parsed.run;
  };

  it("reads rust-vmm's command lines", async () => {
    const expected = {
      socketPath: '/root/vi2c.sock',
      socketCount: 1,
      numberedSockets: true,
      workers: 1,
      logLevel: 'info',
      board: undefined,
      devices: [{ adapter: { bus: 0 }, addresses: [32] }],
      splitGroups: false,
      allowNoZeroLength: false,
    };
    expect(await run('-s', '/root/vi2c.sock', '-c', '1', '-l', '0:32')).toEqual(expected);
    expect(
      await run('--socket-path=/root/vi2c.sock', '--socket-count=1', '--device-list=0:32'),
    ).toEqual(expected);
  });

  it('reads what is allowed to drivers', async () => {
    const argv = ['-s', 'x', '-l', '0:1', '--split-groups', '--allow-no-zero-length'];
    expect(await run(...argv)).toMatchObject({ splitGroups: true, allowNoZeroLength: true });
  });

  it('knows the default board, and others', async () => {
    expect((await run('-s', 'x', '--simulate')).board).toEqual([
      { chip: 'ds1338', address: 0x68 },
      { chip: '24c02', address: 0x50 },
    ]);
    expect((await run('-s', 'x', '--simulate', 'ds1338@0x20', '-l', '0:32')).board).toEqual([
      { chip: 'ds1338', address: 0x20 },
    ]);
  });

  it('adds up what is given in parts', async () => {
    const { devices } = await run('-s', 'x', '-l', '0:32', '--device-list=1:33:34', '-l2:35');
    expect(devices.map(({ adapter }) => adapter.bus)).toEqual([0, 1, 2]);
    const { board } = await run('-s', 'x', '--simulate', 'ds1338@0x20', '--simulate=24c02@0x21');
    expect(board?.map(({ address }) => address)).toEqual([0x20, 0x21]);
    await expect(run('-s', 'x', '-l', '0:32', '-l', '0:33')).rejects.toThrow(
      'adapter 0 is given twice; write its addresses in one entry',
    );
  });

  it('reads who may use the sockets', async () => {
    const { socketMode, socketGroup } = await run(
      ...['-s', 'x', '--simulate', '--socket-mode', '0660', '--socket-group', 'root'],
    );
    expect({ socketMode, socketGroup }).toEqual({ socketMode: 0o660, socketGroup: 0 });
    for (const [when, xenMmap] of [
      ['auto', undefined],
      ['on', true],
      ['off', false],
    ] as const) {
      expect((await run('-s', 'x', '--simulate', '--xen-mmap', when)).xenMmap).toBe(xenMmap);
      expect((await run('-s', 'x', '--simulate', '--mem-slots', when)).memSlots).toBe(xenMmap);
    }
    expect((await run('-s', 'x', '--simulate', '--socket-group', '1234')).socketGroup).toBe(1234);
  });

  it.each([
    ['no socket path', ['-l', '0:1'], "'-s, --socket-path <path>' not specified"],
    ['an empty socket path', ['-s', '', '-l', '0:1'], 'empty --socket-path'],
    ['permissions that are none', ['-s', 'x', '--simulate', '--socket-mode', '698'], 'in octal'],
    ['too many permissions', ['-s', 'x', '--simulate', '--socket-mode', '4660'], 'in octal'],
    [
      'an unknown group',
      ['-s', 'x', '--simulate', '--socket-group', 'no-such-group'],
      "argument 'no-such-group' is invalid. There is no such group",
    ],
    ['no devices', ['-s', 'x'], 'give --device-list or --simulate'],
    ['a bad device list', ['-s', 'x', '-l', '0:128'], 'over 127'],
    ['a bad board', ['-s', 'x', '--simulate', 'toaster@1'], 'no chip "toaster"'],
    ['no sockets', ['-s', 'x', '-l', '0:1', '-c', '0'], '1 to 256'],
    ['a count that is none', ['-s', 'x', '-l', '0:1', '-c', '1x'], '1 to 256'],
    ['no workers', ['-s', 'x', '-l', '0:1', '--workers', '0'], '1 to 64'],
    ['an unknown level', ['-s', 'x', '-l', '0:1', '--log-level', 'loud'], 'Allowed choices'],
    ['an unknown option', ['-s', 'x', '-l', '0:1', '--force'], "unknown option '--force'"],
    ['an operand', ['-s', 'x', '-l', '0:1', 'y'], 'too many arguments'],
    ['an option without its value', ['-l', '0:1', '-s'], 'argument missing'],
    ['a mistyped option, even without the rest', ['--simulat'], "unknown option '--simulat'"],
  ])('refuses %s', async (_, argv, reason) => {
    await expect(parseArgs(argv)).rejects.toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(reason) }),
    );
  });
});

describe('the program', () => {
  it('gives its sockets the permissions and the group that were asked for', async () => {
    const group = process.getgid?.() ?? 0;
    const daemon = new DaemonProcess(
      ...['-s', socket, '--simulate', '--socket-mode', '660', '--socket-group', `${group}`],
    );
    await daemon.logged('device ready');
    const { mode, gid } = statSync(socket, { bigint: true });
    expect({ mode: Number(mode) & 0o777, gid: Number(gid) }).toEqual({ mode: 0o660, gid: group });
    daemon.kill('SIGTERM');
    expect(await daemon.exit).toEqual({ code: 0, signal: null });
  });

  it('tells its version and its usage on standard output', async () => {
    const version = new DaemonProcess('--version');
    expect(await version.exit).toEqual({ code: 0, signal: null });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+/);
    const help = new DaemonProcess('--help');
    expect(await help.exit).toEqual({ code: 0, signal: null });
    expect(help.stdout).toContain('--device-list <list>');
  });

  it('ends with 2 and one line that points to the usage after a bad command line', async () => {
    const daemon = new DaemonProcess('-s', socket, '-l', '0:200');
    expect(await daemon.exit).toEqual({ code: 2, signal: null });
    expect(daemon.stdout).toBe('');
    expect(daemon.stderr).toMatch(
      /^vhost-device-i2c: Cannot read device list "0:200": address 200 is over 127.*; see vhost-device-i2c --help\n$/,
    );
    const long = new DaemonProcess('-s', `/${'x'.repeat(107)}`, '--simulate');
    expect(await long.exit).toEqual({ code: 2, signal: null });
    expect(long.stderr).toMatch(/must have 1 to 107 bytes.*--help\n$/);
    const mistyped = new DaemonProcess('--socket-pth', 'x');
    expect(await mistyped.exit).toEqual({ code: 2, signal: null });
    expect(mistyped.stderr).toMatch(
      /^[^\n]*--socket-pth[^\n]*Did you mean --socket-path[^\n]*--help\n$/,
    );
  });

  it.each([
    [
      'no such adapter',
      () => ['-s', socket, '-l', 'no such bus:1'],
      /"no such bus": no such adapter/,
    ],
    ['no directory', () => ['-s', `${socket}/x`, '--simulate'], /it does not exist; create it/],
    [
      'a file for a directory',
      () => {
        writeFileSync(socket, '');
        return ['-s', `${socket}/x`, '--simulate'];
      },
      /it is no directory/,
    ],
    [
      'a file in the place of the socket',
      () => {
        writeFileSync(socket, '');
        return ['-s', socket, '--simulate'];
      },
      /a file that is no socket is there; remove it/,
    ],
    [
      'a directory in the place of the socket',
      () => {
        mkdirSync(socket);
        return ['-s', socket, '--simulate'];
      },
      /it is a directory; name the socket in it/,
    ],
  ])('ends with 1 and one line for %s', async (_, argv, reason) => {
    const daemon = new DaemonProcess(...argv(), '--log-level', 'error');
    expect(await daemon.exit).toEqual({ code: 1, signal: null });
    expect(daemon.stderr).toMatch(reason);
    expect(daemon.stderr).toMatch(/^vhost-device-i2c: Cannot [^\n]*\n$/);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'ends with 0 and no sockets after %s',
    async (signal) => {
      const daemon = new DaemonProcess('-s', socket, '-c', '3', '--workers', '2', '--simulate');
      await daemon.logged('device ready', 3);
      for (const i of [0, 1, 2]) expect(existsSync(`${socket}${i}`)).toBe(true);
      daemon.kill(signal);
      expect(await daemon.exit).toEqual({ code: 0, signal: null });
      for (const i of [0, 1, 2]) expect(existsSync(`${socket}${i}`)).toBe(false);
    },
  );

  it('leaves the socket of another daemon alone, and takes over that of a dead one', async () => {
    const first = new DaemonProcess('-s', socket, '--simulate');
    await first.logged('device ready');
    const second = new DaemonProcess('-s', socket, '--simulate');
    expect(await second.exit).toEqual({ code: 1, signal: null });
    expect(second.stderr).toContain('another process does; stop it');
    expect(existsSync(socket)).toBe(true);
    first.kill('SIGKILL');
    expect(await first.exit).toEqual({ code: null, signal: 'SIGKILL' });
    expect(existsSync(socket)).toBe(true);
    const third = new DaemonProcess('-s', socket, '--simulate');
    await third.logged('device ready');
    third.kill('SIGTERM');
    expect(await third.exit).toEqual({ code: 0, signal: null });
  });
});
