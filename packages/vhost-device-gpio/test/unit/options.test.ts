import { describe, expect, it } from 'vitest';
import { parseDeviceList } from '../../src/device-list.ts';
import { findHosts } from '../../src/hosts.ts';
import { parseOptions } from '../../src/options.ts';

describe('the command line', () => {
  it('has a device for each socket, as rust-vmm has it', () => {
    expect(parseOptions(['-s', '/run/x.sock', '-c', '3', '-l', '0:s4:gpiochip2'])).toMatchObject({
      run: {
        socketPath: '/run/x.sock',
        socketCount: 3,
        devices: [
          { kind: 'linux', number: 0 },
          { kind: 'simulated', lines: 4 },
          { kind: 'linux', name: 'gpiochip2' },
        ],
        lineNames: ['', '', ''],
      },
    });
  });

  it('has names of lines, and simulated lines for any number of sockets', () => {
    const parsed = parseOptions(['-s', 'x', '-c', '2', '-l', 's3', '--line-names', 'a,,c']);
    expect(parsed).toMatchObject({ run: { lineNames: ['a,,c', 'a,,c'] } });
    if (!('run' in parsed)) throw new Error('no run');
    const host = { kind: 'simulated', lines: 3, names: ['a', '', 'c'] };
    expect(findHosts(parsed.run)).toEqual([host, host]);
  });

  it('adds up what is given in parts', () => {
    const words = [
      '-s',
      'x',
      '-c',
      '3',
      '-l',
      's1:s2',
      '-ls3',
      '--line-names',
      'a',
      '--line-names=:c',
    ];
    expect(parseOptions(words)).toMatchObject({
      run: {
        devices: [{ lines: 1 }, { lines: 2 }, { lines: 3 }],
        lineNames: ['a', '', 'c'],
      },
    });
  });

  it('gives the names of each socket to its lines', () => {
    const parsed = parseOptions(['-s', 'x', '-c', '2', '-l', 's1:s2', '--line-names', ':b']);
    if (!('run' in parsed)) throw new Error('no run');
    expect(findHosts(parsed.run).map(({ names }) => names)).toEqual([[], ['b']]);
  });

  it.each([
    ['no device list', [], /give --device-list/],
    ['fewer devices than sockets', ['-c', '3', '-l', 's1:s2'], /3 sockets with 2 devices/],
    ['more devices than sockets', ['-l', 's1:s2'], /1 sockets with 2 devices/],
    ['a chip for several sockets', ['-c', '2', '-l', '0'], /2 sockets with 1 devices/],
    ['names for more devices', ['-l', 's1', '--line-names', 'a:b'], /for 2 devices/],
  ])('refuses %s', (_, argv, text) => {
    expect(() => parseOptions(['-s', 'x', ...argv])).toThrow(text);
  });

  it.each([
    ['more names than lines', 's1', 'a,b', /2 names for 1 lines/],
    ['a name twice', 's2', 'a,a', /"a" is given twice/],
    ['a name that is not ASCII', 's2', 'knöpf', /not ASCII/],
    ['a name that Linux has no room for', 's2', 'x'.repeat(32), /31 characters/],
  ])('refuses %s', (_, list, names, text) => {
    const parsed = parseOptions(['-s', 'x', '-l', list, '--line-names', names]);
    if (!('run' in parsed)) throw new Error('no run');
    expect(() => findHosts(parsed.run)).toThrow(text);
  });
});

describe('the device list', () => {
  it.each(['', 's4:', ':s4', 's0', 's65536', '0:0', 'a:b:a', '99999999999'])(
    'cannot be "%s"',
    (list) => {
      expect(() => parseDeviceList(list)).toThrow(/^Cannot read device list/);
    },
  );

  it('may have as many lines as a device has', () => {
    expect(parseDeviceList('s65535')).toEqual([{ kind: 'simulated', lines: 65_535 }]);
  });
});
