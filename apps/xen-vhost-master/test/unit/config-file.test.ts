import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseArguments } from '../../src/args.ts';
import { readConfig } from '../../src/config-file.ts';
import { BridgeError } from '../../src/errors.ts';
import type { Arguments } from '../../src/settings.ts';
import { TempDir } from '../support.ts';

let dir: TempDir;
let file: string;
beforeEach(() => {
  dir = new TempDir();
  file = dir.join('bridge.yaml');
});
afterEach(() => dir[Symbol.dispose]());

async function run(...argv: string[]): Promise<Arguments> {
  const parsed = await parseArguments(argv);
  if ('run' in parsed) return parsed.run;
  throw new Error(`expected a run, got text: ${parsed.print}`);
}

async function print(...argv: string[]): Promise<string> {
  const parsed = await parseArguments([...argv, '--print-config']);
  if ('print' in parsed) return parsed.print;
  throw new Error('expected text');
}

/** Everything that there is to say. */
function everything(): string {
  return `
socket-directory: ${dir.path}
sockets:
  i2c: ${dir.join('i2c.sock')}
  rng: ${dir.join('rng.sock')}
spawn:
  gpio: "vhost-device-gpio --list \\"a: b\\" # no comment"
notification: user
dispatch-threads: 3
dispatch-nice: -5
foreign-mapping: true
xenstore: /run/xenstored/socket
log-level: debug
virtio-disk:
  - xvda=i2c
  - web:xvdb=virtio-99
devices:
  - type: i2c
    domain: web
    base: 0x2000000
    irq: 33
    trigger: level
    memory: 0x40000000+1G:0x200000000+512M
    socket: ${dir.join('own.sock')}
  - { type: 34, domain: 7, base: 0xffffffffffe00, irq: 0x21, memory: [0x80000000+4K] }
`;
}

describe('a configuration file', () => {
  it('says all that a command line can say', async () => {
    writeFileSync(file, everything());
    const fromFile = await run('--config', file);
    const fromCommandLine = await run(
      ...['-s', dir.path, '-s', dir.join('i2c.sock'), '-n', 'i2c', '-s', dir.join('rng.sock')],
      ...['-n', 'rng', '--spawn', 'gpio=vhost-device-gpio --list "a: b" # no comment'],
      ...[
        '--notification',
        'user',
        '--dispatch-threads',
        '3',
        '--dispatch-nice',
        '-5',
        '-f',
        '--xenstore',
        '/run/xenstored/socket',
      ],
      ...['--log-level', 'debug', '--virtio-disk', 'xvda=i2c'],
      ...['--virtio-disk', 'web:xvdb=virtio-99', '--device'],
      `i2c,domain=web,base=0x2000000,irq=33,trigger=level,memory=0x40000000+1G:0x200000000+512M,socket=${dir.join('own.sock')}`,
      '--device',
      'virtio-34,domain=7,base=4503599627369984,irq=33,memory=0x80000000+0x1000',
    );
    expect(fromFile).toEqual(fromCommandLine);
  });

  it('is printed so that it reads the same', async () => {
    writeFileSync(file, everything());
    const printed = await print('--config', file);
    const again = dir.join('again.yaml');
    writeFileSync(again, printed);
    expect(await run('--config', again)).toEqual(await run('--config', file));
    expect(await print('--config', again)).toBe(printed);
    expect(printed).toContain('base: 0x2000000\n');
  });

  it('prints a command line, without a file', async () => {
    const argv = ['--spawn', `i2c=${'long '.repeat(40)}: "x"`, '--virtio-disk', 'xvda=i2c'];
    writeFileSync(file, await print(...argv));
    expect(await run('--config', file)).toEqual(await run(...argv));
  });

  it('comes after the command line, and lists of both are one', async () => {
    writeFileSync(file, everything());
    const merged = await run(
      ...['--config', file, '--log-level', 'warn', '-s', dir.join('other.sock'), '-n', 'i2c'],
      ...['--virtio-disk', 'xvda=rng', '--virtio-disk', 'xvdc=rng'],
      ...['--device', 'rng,domain=web,base=0x2000000,irq=40'],
    );
    expect(merged).toMatchObject({
      logLevel: 'warn',
      notification: 'user',
      dispatchThreads: 3,
      dispatchNice: -5,
      directory: dir.path,
    });
    expect(await run('--config', file, '--dispatch-threads', '4')).toMatchObject({
      dispatchThreads: 4,
    });
    expect(merged.sockets.get('i2c')).toBe(dir.join('other.sock'));
    expect(merged.sockets.get('rng')).toBe(dir.join('rng.sock'));
    const disks = merged.virtioDisks.map(({ vdev, type }) => [vdev, type.name]);
    expect(disks).toEqual([
      ['xvdb', 'virtio-99'],
      ['xvda', 'rng'],
      ['xvdc', 'rng'],
    ]);
    expect(merged.devices.map(({ type, irq }) => [type.name, irq])).toEqual([
      ['i2c', 33],
      ['rng', 40],
    ]);
  });

  it('may be empty', async () => {
    writeFileSync(file, '# nothing yet\n');
    expect(await run('--config', file, '-s', dir.path)).toEqual(await run('-s', dir.path));
  });

  it.each([
    [1, 'sockets: 3', /"sockets" expected a setting for each device type/],
    [1, '[1, 2]', /:1: expected settings, such as/],
    [2, 'log-level: info\nloglevel: info', /"loglevel" is no setting.* those are .*log-level/],
    [1, 'log-level: loud', /"log-level" expected debug, .*, got "loud"/],
    [
      3,
      'sockets:\n  i2c: /dev/i2c.sock\n  i3c: /dev/i3c.sock',
      /"sockets.i3c" is no device type; those are .*i2c/,
    ],
    [2, 'sockets:\n  i2c: /nowhere/at/all', /path of a socket in a directory that exists/],
    [
      1,
      'socket-directory: /nowhere',
      /"socket-directory" expected a directory that exists: create/,
    ],
    [2, 'spawn:\n  i2c: " "', /"spawn.i2c" expected a command/],
    [2, 'hold: 1\ndispatch-nice: -21', /"dispatch-nice" expected a number from -20 to 19/],
    [
      2,
      'hold: 1\ndispatch-threads: 65',
      /"dispatch-threads" expected a number of threads, 0 to 64/,
    ],
    [1, 'foreign-mapping: false', /expected true: guest memory is always mapped so/],
    [1, 'virtio-disk: xvda=i2c', /"virtio-disk" expected a list/],
    [3, 'virtio-disk:\n  - xvda=i2c\n  - xvdb', /"virtio-disk\[1\]" expected \[DOMAIN:\]VDEV=TYPE/],
    [3, 'virtio-disk:\n  - xvda=i2c\n  - xvda=rng', /"virtio-disk\[1\]" is the second for xvda/],
    [2, 'devices:\n  - 3', /"devices\[0\]" expected settings, got 3/],
    [
      2,
      'devices:\n  - type: i2c\n    domain: a\n    irq: 3',
      /"devices\[0\].base" is missing: add it/,
    ],
    [2, 'a: 1\na: 2', /Map keys must be unique; correct the YAML/],
    [2, 'spawn:\n\ti2c: x', /correct the YAML/],
    [1, 'xenstore: !secret x', /Unresolved tag: !secret; correct the YAML/],
  ])('says in which line, here %i, what to change: %j', (line, text, message) => {
    writeFileSync(file, text);
    let refused: unknown;
    try {
      readConfig(file);
    } catch (error) {
      refused = error;
    }
    expect(BridgeError.is(refused) && refused).toMatchObject({ code: 'BAD_CONFIG' });
    const { message: said } = refused as Error;
    expect(said).toMatch(message);
    expect(said).toContain(`Cannot use configuration ${file}:${line}: `);
    expect(said).not.toContain('\n');
  });

  it.each([
    ['type: i3c', /expected a device type, one of .*i2c/],
    ['domain: 0', /its number from 1 to 32751/],
    ['base: 0x2000001', /a multiple of 0x200/],
    ['base: 0xffffffffffffffff', /address of a virtio-mmio window/],
    ['irq: 1020', /the number of an interrupt, 1 to 1019, got "1020"/],
    ['irq: [3]', /expected text or a number, got Array/],
    ['trigger: both', /expected level or edge, got "both"/],
    ['memory: 1G', /BASE\+SIZE in whole pages, such as 0x40000000\+512M/],
    ['memory: 0x40000000+1', /in whole pages/],
    ['memory: 0x40000000+1G:0x50000000+1G', /that do not overlap \(0x50000000\+0x40000000 does\)/],
    ['memory: [3]', /or a list of such/],
    ['socket: /nowhere/x', /path of a socket in a directory that exists/],
    ['sockte: /tmp/x', /is no setting: correct or remove it; those are .*socket/],
  ])('refuses a device with %s', (line, message) => {
    const [name] = line.split(':') as [string];
    const given = ['type: i2c', 'domain: a', 'base: 0x200', 'irq: 3'];
    const rest = given.filter((other) => !other.startsWith(`${name}:`));
    writeFileSync(
      file,
      `devices:\n  -\n${[...rest, line].map((text) => `    ${text}\n`).join('')}`,
    );
    expect(() => readConfig(file)).toThrow(message);
    expect(() => readConfig(file)).toThrow(`${file}:${rest.length + 3}: "devices[0].${name}"`);
  });

  it('names the line of what has no back-end', async () => {
    writeFileSync(
      file,
      `sockets:\n  rng: ${dir.join('x')}\ndevices:\n  - {type: i2c, domain: a, base: 0x200, irq: 3}`,
    );
    await expect(run('--config', file)).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: `Cannot use configuration ${file}:4: the i2c at 0x200 of domain a has no back-end: give it a socket of its own, a socket for i2c (--name), a directory, or a command (--spawn)`,
    });
    writeFileSync(file, `sockets:\n  rng: ${dir.join('x')}\nvirtio-disk:\n\n  - xvda=i2c`);
    await expect(run('--config', file)).rejects.toThrow(`${file}:5: virtio disk xvda=i2c has no`);
  });

  it('says when there is none', async () => {
    await expect(run('--config', dir.join('none'))).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringMatching(/Cannot read configuration .*none: it does not exist/),
    });
  });

  it('the one in the README works', async () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const example = /```yaml\n(.*?)```/s.exec(readme)?.[1] ?? '';
    mkdirSync(dir.join('vhost'));
    writeFileSync(file, example.replaceAll('/run/vhost', dir.join('vhost')));
    const settings = await run('--config', file);
    expect(settings.devices).toHaveLength(2);
    expect(settings.virtioDisks).toHaveLength(2);
    expect([...settings.spawn.keys()]).toEqual(['i2c']);
    expect(settings.devices[1]?.memory).toHaveLength(2);
  });
});

describe('a configuration file that cannot be read', () => {
  it.each([
    ['not there', () => dir.join('none'), 'it does not exist; choose another --config'],
    ['a directory', () => dir.path, 'it is a directory; choose another --config'],
    ['below a file', () => `${file}/x`, 'what should be a directory on its way is none'],
    ['too long a name', () => dir.join('x'.repeat(300)), 'it is longer than Linux allows'],
    ['not UTF-8', () => file, 'it is not UTF-8; save it as such'],
  ])('is told why: %s', (_name, path, text) => {
    writeFileSync(file, Buffer.from('spawn: {i2c: "\xff"}', 'latin1'));
    const message = `Cannot read configuration ${path()}: ${text}`;
    expect(() => readConfig(path())).toThrow(
      expect.objectContaining({ code: 'BAD_CONFIG', message: expect.stringContaining(message) }),
    );
  });

  it('is told apart from a path that cannot be used', async () => {
    const long = dir.join('x'.repeat(107));
    await expect(run('-s', long, '-n', 'i2c')).rejects.toThrow('107 bytes at most');
    writeFileSync(file, `sockets: {i2c: ${long}}`);
    expect(() => readConfig(file)).toThrow("a socket's path of 107 bytes at most");
    await expect(run('-s', '', '-n', 'i2c')).rejects.toThrow('empty --socket-path');
    await expect(run('--config', '')).rejects.toThrow('empty --config');
    await expect(run('-s', dir.path, '--xenstore', '')).rejects.toThrow('empty --xenstore');
  });
});
