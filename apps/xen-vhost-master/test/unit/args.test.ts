import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { MAX_DISPATCH_THREADS } from '@node-vmm/vm-dispatch';
import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseArguments } from '../../src/args.ts';
import { DEFAULT_DISPATCH_THREADS, MOST_DISPATCH_THREADS } from '../../src/dispatch-threads.ts';
import type { Arguments } from '../../src/settings.ts';
import { TempDir } from '../support.ts';

let dir: TempDir;
beforeEach(() => {
  dir = new TempDir();
});
afterEach(() => dir[Symbol.dispose]());

async function run(...argv: string[]): Promise<Arguments> {
  const parsed = await parseArguments(argv);
  if ('run' in parsed) return parsed.run;
  throw new Error(`expected a run, got text: ${parsed.print}`);
}

async function refusal(...argv: string[]): Promise<string> {
  try {
    await parseArguments(argv);
  } catch (error) {
    if (errorCode(error) === 'USAGE') return errorMessage(error);
    throw error;
  }
  throw new Error(`expected a refusal of ${argv.join(' ')}`);
}

describe('parseArguments', () => {
  it('reads the original command line', async () => {
    const path = dir.join('vi2c.sock0');
    expect(await run('--socket-path', path, '--name', 'i2c')).toEqual({
      directory: undefined,
      sockets: new Map([['i2c', path]]),
      spawn: new Map(),
      notification: 'auto',
      dispatchThreads: DEFAULT_DISPATCH_THREADS,
      hold: 20,
      xenstore: undefined,
      logLevel: 'info',
      virtioDisks: [],
      devices: [],
    });
    expect((await run('-s', path, '-n', 'i2c', '-f')).sockets).toEqual(new Map([['i2c', path]]));
  });

  it('takes a socket that exists already', async () => {
    const path = dir.join('vi2c.sock0');
    writeFileSync(path, '');
    expect((await run('-s', path, '-n', 'i2c')).sockets.get('i2c')).toBe(path);
  });

  it('pairs several sockets with several names, beside a directory', async () => {
    const [i2c, rng] = [dir.join('a'), dir.join('b')];
    const parsed = await run('-s', i2c, '-n', 'i2c', '-s', rng, '-n', 'rng', '-s', dir.path);
    expect(parsed.sockets).toEqual(
      new Map([
        ['i2c', i2c],
        ['rng', rng],
      ]),
    );
    expect(parsed.directory).toBe(dir.path);
  });

  it('reads a directory alone', async () => {
    const { directory, sockets } = await run('--socket-path', dir.path);
    expect(directory).toBe(dir.path);
    expect(sockets.size).toBe(0);
  });

  it('reads commands, with = in them', async () => {
    const { spawn } = await run('--spawn', 'i2c=daemon --list=0:0x20', '--spawn', 'rng=other');
    expect(spawn).toEqual(
      new Map([
        ['i2c', 'daemon --list=0:0x20'],
        ['rng', 'other'],
      ]),
    );
  });

  it('reads the settings', async () => {
    const settings = ['--notification', 'user', '--xenstore', '/x', '--log-level', 'debug'];
    expect(await run('-s', dir.path, '--hold', '600', ...settings)).toMatchObject({
      notification: 'user',
      hold: 600,
      xenstore: '/x',
      logLevel: 'debug',
    });
  });

  it.each(['0', '601', '1.5', '-1', 'x', ''])(
    'refuses to hold a guest for %j seconds',
    async (hold) => {
      expect(await refusal('-s', dir.path, '--hold', hold)).toContain(
        `--hold ${hold}: expected seconds, 1 to 600`,
      );
    },
  );

  it('reads how many threads serve registers', async () => {
    expect(MOST_DISPATCH_THREADS).toBe(MAX_DISPATCH_THREADS);
    for (const dispatchThreads of [0, 1, MAX_DISPATCH_THREADS]) {
      const argv = ['-s', dir.path, '--dispatch-threads', `${dispatchThreads}`];
      expect(await run(...argv)).toMatchObject({ dispatchThreads });
    }
    for (const wrong of ['65', '-1', '1.5', 'x', '', '1e1', '0064']) {
      expect(await refusal('-s', dir.path, '--dispatch-threads', wrong)).toBe(
        `--dispatch-threads ${wrong}: expected a number of threads, 0 to 64, got "${wrong}"`,
      );
    }
  });

  it('reads the priority of those threads', async () => {
    expect(await run('-s', dir.path)).toMatchObject({ dispatchNice: undefined });
    for (const dispatchNice of [-20, 0, 19]) {
      const argv = ['-s', dir.path, '--dispatch-nice', `${dispatchNice}`];
      expect(await run(...argv)).toMatchObject({ dispatchNice });
    }
    for (const wrong of ['-21', '20', '1.5', 'x', '', '1e1', '+5', '0x1']) {
      expect(await refusal('-s', dir.path, '--dispatch-nice', wrong)).toBe(
        `--dispatch-nice ${wrong}: expected a number from -20 to 19, as of nice(1), got "${wrong}"`,
      );
    }
    const none = ['-s', dir.path, '--dispatch-threads', '0', '--dispatch-nice', '0'];
    expect(await refusal(...none)).toContain('which has no --dispatch-nice');
  });

  it('reads what is to become of guests at the end', async () => {
    expect(await run('-s', dir.path)).toMatchObject({ keep: undefined, stateDir: undefined });
    expect(await run('-s', dir.path, '--keep', '--state-dir', '/run/x')).toMatchObject({
      keep: true,
      stateDir: '/run/x',
    });
    expect(await run('-s', dir.path, '--release')).toMatchObject({ keep: false });
    expect(await refusal('-s', dir.path, '--keep', '--release')).toContain('exclude each other');
    expect(await refusal('-s', dir.path, '--state-dir', '')).toContain('expects a directory');
  });

  it('reads where metrics are served', async () => {
    expect(await run('-s', dir.path)).toMatchObject({ metrics: undefined });
    for (const metrics of ['9100', '[::1]:9100', '/run/m']) {
      expect(await run('-s', dir.path, '--metrics', metrics)).toMatchObject({ metrics });
    }
    expect(await refusal('-s', dir.path, '--metrics', 'all')).toContain('[HOST:]PORT');
  });

  it('prints help and version', async () => {
    expect(await parseArguments(['--help'])).toEqual({
      print: expect.stringContaining('Examples:'),
    });
    expect(await parseArguments(['-V'])).toEqual({
      print: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });

  it('says where back-ends may be when there are none', async () => {
    expect(await refusal()).toMatch(/--socket-path with --name, a directory, or --spawn/);
    expect(await refusal('--notification', 'user')).toMatch(/--spawn/);
  });

  it('refuses a socket without name and a name without socket', async () => {
    const path = dir.join('x');
    expect(await refusal('-s', path)).toContain(`1 of the one (${path}), 0 of the other`);
    expect(await refusal('-n', 'i2c')).toContain('0 of the one (none), 1 of the other');
    expect(await refusal('-s', dir.path, '-n', 'i2c')).toContain('needs a --name and the reverse');
  });

  it('names the device types when one is unknown', async () => {
    expect(await refusal('-s', dir.join('x'), '-n', 'i3c')).toMatch(
      /--name i3c .* those are: .*i2c/,
    );
    expect(await refusal('--spawn', 'i3c=x')).toMatch(/--spawn i3c .* those are: .*i2c/);
  });

  it('points to a directory when a name comes twice', async () => {
    const argv = ['-s', dir.join('a'), '-n', 'i2c', '-s', dir.join('b'), '-n', 'i2c'];
    expect(await refusal(...argv)).toMatch(/--name i2c was given twice; use a directory/);
  });

  it('refuses two directories', async () => {
    expect(await refusal('-s', dir.path, '-s', '/')).toContain('one is enough');
  });

  it('asks to create the directory of a socket', async () => {
    const gone = dir.join('gone');
    rmSync(gone, { force: true });
    expect(existsSync(gone)).toBe(false);
    expect(await refusal('-s', `${gone}/sock`, '-n', 'i2c')).toContain(`create ${gone}`);
  });

  it.each(['i2c', '=command', 'i2c=', 'i2c=  '])('says how --spawn goes for "%s"', async (item) => {
    expect(await refusal('--spawn', item)).toMatch(/--spawn expects <name>=<command>/);
  });

  it('refuses two commands for a type', async () => {
    expect(await refusal('--spawn', 'i2c=a', '--spawn', 'i2c=b')).toContain(
      '--spawn i2c was given twice',
    );
  });

  it('refuses what commander does not know', async () => {
    expect(await refusal('-s', dir.path, '--notification', 'fast')).toMatch(/auto, kernel, user/);
    expect(await refusal('-s', dir.path, '--log-level', 'loud')).toMatch(/debug, info, warn/);
    expect(await refusal('-s', dir.path, '--frobnicate')).toContain(
      "unknown option '--frobnicate'",
    );
    expect(await refusal('-s', dir.path, 'more')).toMatch(/too many arguments/);
    expect(await refusal('-s')).toMatch(/argument missing/);
  });

  it('reads disks and devices', async () => {
    const device = 'i2c,domain=web,base=0xe0000000,irq=5,trigger=level';
    const { virtioDisks, devices } = await run(
      ...['-s', dir.path, '--virtio-disk', 'xvda=i2c', '--virtio-disk', 'web:xvda=rng'],
      ...['--device', device, '--device', `34,domain=3,base=1024,irq=0x6,socket=${dir.join('x')}`],
    );
    expect(virtioDisks.map(({ domain, vdev, type }) => [domain, vdev, type.deviceId])).toEqual([
      [undefined, 'xvda', 34],
      [{ name: 'web' }, 'xvda', 4],
    ]);
    expect(devices).toMatchObject([
      { domain: { name: 'web' }, base: 0xe000_0000n, irq: 5, trigger: 'level', socket: undefined },
      { domain: { id: 3 }, base: 1024n, irq: 6, socket: dir.join('x') },
    ]);
  });

  it('needs no other back-end for devices with sockets of their own', async () => {
    const device = `i2c,domain=web,base=0x200,irq=5,socket=${dir.join('x')}`;
    expect((await run('--device', device)).devices).toHaveLength(1);
  });

  it.each([
    ['i2c', /there is no domain and no base and no irq/],
    ['i2c,domain=a,base=0x200', /expected TYPE,domain=NAME\|ID,.*: there is no irq/],
    ['i2c,domain=a,base=0x200,irq=5,colour=red', /got "colour=red" in it/],
    ['i2c,domain=a,base=0x200,irq=5,irq=6', /expected one irq=, got two/],
    ['i2c,domain=a,base=0x200,irq=5,', /got "" in it/],
    ['i3c,domain=a,base=0x200,irq=5', /expected a device type/],
    ['i2c,domain=,base=0x200,irq=5', /domain expected a domain's name or its number/],
    ['i2c,domain=a,base=0x201,irq=5', /base expected the address of a virtio-mmio window/],
    ['i2c,domain=a,base=0x200,irq=-1', /irq expected the number of an interrupt/],
    ['i2c,domain=a,base=0x200,irq=5,trigger=x', /trigger expected level or edge/],
    ['i2c,domain=a,base=0x200,irq=5,memory=0+0', /memory expected memory as BASE\+SIZE/],
    ['i2c,domain=a,base=0x200,irq=5,socket=/nowhere/x', /socket expected the path of a socket/],
  ])('refuses --device %s', async (device, message) => {
    const said = await refusal('-s', dir.path, '--device', device);
    expect(said).toMatch(message);
    expect(said.startsWith(`--device ${device}: `)).toBe(true);
  });

  it('refuses the same place and the same disk twice', async () => {
    const device = ['--device', 'i2c,domain=a,base=0x200,irq=5'];
    expect(await refusal('-s', dir.path, ...device, ...device)).toBe(
      '--device was given twice for 0x200 of domain a; once is enough',
    );
    const disks = ['--virtio-disk', 'xvda=i2c', '--virtio-disk', 'xvda=rng'];
    expect(await refusal('-s', dir.path, ...disks)).toContain('given twice for xvda');
  });

  it('says what has no back-end', async () => {
    const device = ['--device', 'i2c,domain=a,base=0x200,irq=5'];
    expect(await refusal('--spawn', 'rng=x', ...device)).toMatch(
      /the i2c at 0x200 of domain a has/,
    );
    expect(await refusal('--spawn', 'rng=x', '--virtio-disk', 'xvda=i2c')).toMatch(
      /virtio disk xvda=i2c has no back-end: give a socket for i2c/,
    );
  });
});
