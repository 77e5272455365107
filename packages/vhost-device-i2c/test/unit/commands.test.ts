import { EventFd, EventLoop } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { I2cAttachment } from '../../src/address-map.ts';
import { runCommand } from '../../src/commands.ts';
import { newCounters } from '../../src/counters.ts';
import { makeBoard, parseBoard } from '../../src/simulated/board.ts';
import { FakeHost } from '../support/fakes.ts';
import { transfer } from '../support/transfer.ts';

let stop: EventFd;
let poller: EventLoop;
let attachments: I2cAttachment[];
const run = (...words: string[]): object | undefined =>
  runCommand(words, attachments, newCounters());

beforeEach(() => {
  stop = EventFd.create();
  poller = new EventLoop(stop);
  attachments = [
    { host: new FakeHost('i2c-1'), addresses: [0x20, 0xa020] },
    {
      host: makeBoard(parseBoard('tmp105@0x48,ds1338@0x68,24c02@0x50,24c02@0xa150'), poller),
      addresses: [0x48, 0x68],
    },
  ];
});
afterEach(() => {
  for (const { host } of attachments) host[Symbol.dispose]();
  poller.close();
  stop.close();
});

describe('commands', () => {
  it('tell the state: adapters, addresses, chips, counters', () => {
    expect(run('state')).toMatchObject({
      adapters: [
        { name: 'i2c-1', addresses: ['0x20', '0xa020'] },
        {
          name: 'simulated',
          addresses: ['0x48', '0x68'],
          chips: [
            { address: '0x48', chip: 'tmp105', temperature: 25 },
            { address: '0x68', chip: 'ds1338', halted: false },
            { address: '0x50', chip: '24c02', contents: 'ff'.repeat(256) },
            { address: '0xa150', chip: '24c02' },
          ],
        },
      ],
      counters: { requests: 0, longGroups: 0 },
    });
    expect(JSON.parse(JSON.stringify(run('state')))).toEqual(run('state'));
  });

  it('drive a thermometer, which the bus sees', () => {
    expect(run('chip', '0x48', 'temperature', '23.5')).toEqual({ temperature: 23.5 });
    expect(run('chip', '72', 'temperature')).toEqual({ temperature: 23.5 });
    const data = new Uint8Array(2);
    const host = attachments[1]?.host;
    if (host === undefined) throw new Error('no host');
    expect(transfer(host, [{ address: 0x48, read: true, data }])).toBe(1);
    expect([...data]).toEqual([23, 0x80]);
    expect(run('chip', '0x48')).toMatchObject({
      address: '0x48',
      chip: 'tmp105',
      inputs: ['temperature [<degrees Celsius, -128 to 128>]'],
    });
  });

  it('set a clock, which goes on from there', () => {
    expect(run('chip', '0x68', 'time', '2028-02-29T23:59:58.250Z')).toEqual({
      time: '2028-02-29T23:59:58Z',
    });
    expect(run('chip', '0x68', 'time')).toEqual({
      time: expect.stringMatching(/^2028-(02-29|03-01)T\d\d:\d\d:\d\dZ$/),
    });
    const { time } = run('chip', '0x68', 'time', 'host') as { time: string };
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(60_000);
  });

  it('read and write an EEPROM', () => {
    expect(run('chip', '0xa150', 'contents', '0x10', '01A0ff')).toEqual({
      from: 16,
      contents: '01a0ff',
    });
    expect(run('chip', '0xa150', 'contents', '15')).toEqual({
      from: 15,
      contents: `ff01a0ff${'ff'.repeat(256 - 19)}`,
    });
    expect(run('chip', '0xa150', 'contents', '255', '5a')).toEqual({ from: 255, contents: '5a' });
    const { contents } = run('chip', '0xa150', 'contents') as { contents: string };
    expect(contents).toHaveLength(512);
    expect(contents.slice(-2)).toBe('5a');
  });

  it.each([
    ['nothing', [], 'say "state", or "chip <address>'],
    ['another verb', ['line', '1'], 'say "state"'],
    ['more than a verb', ['state', 'all'], 'say "state"'],
    ['no chip', ['chip'], 'say "state"'],
    ['no address', ['chip', 'x', 'temperature'], '"x" is no address'],
    ['a bad address', ['chip', '0x78'], 'prefix of 10-bit'],
    ['a time of another century', ['chip', '0x68', 'time', '2100-01-01T00:00:00Z'], '2000 to 2099'],
    ['a time without a zone', ['chip', '0x68', 'time', '2028-01-01T00:00:00'], '2000 to 2099'],
    ['two times', ['chip', '0x68', 'time', 'host', 'host'], '2000 to 2099'],
    ['too many bytes', ['chip', '0x50', 'contents', '255', '0102'], 'have room'],
    ['half a byte', ['chip', '0x50', 'contents', '0', '012'], 'have room'],
    ['a place that is none', ['chip', '0x50', 'contents', '-1'], 'have room'],
    ['a place beyond the end', ['chip', '0x50', 'contents', '256'], 'have room'],
  ])('with %s make no sense', (_, words, message) => {
    expect(() => run(...words)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) }),
    );
  });

  it.each([
    ['a chip that is not there', ['chip', '0x49'], 'there is none at 0x49'],
    ["a chip of the host's", ['chip', '0x20', 'temperature', '1'], 'there is none at 0x20'],
    ['an input that it has not', ['chip', '0x48', 'time'], '0x48 has these inputs: temperature'],
    ['a name of every object', ['chip', '0x48', 'constructor'], 'has these inputs'],
  ])('for %s are refused', (_, words, message) => {
    expect(() => run(...words)).toThrow(
      expect.objectContaining({ code: 'REFUSED', message: expect.stringContaining(message) }),
    );
  });

  it('say that the chips of an adapter cannot be driven', () => {
    attachments.splice(1);
    expect(() => run('chip', '0x20')).toThrow(/only those of --simulate can be driven/);
    attachments.push({
      host: Object.assign(new FakeHost(), {
        chips: new Map([[1, { write: () => undefined, read: () => 0 }]]),
      }),
      addresses: [],
    });
    expect(run('chip', '1')).toEqual({ address: '0x01', inputs: [] });
    expect(() => run('chip', '1', 'x')).toThrow(/has no inputs/);
  });
});
