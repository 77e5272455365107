import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DaemonProcess, socketDirectory } from '../support/daemon.ts';
import { SocketGuest } from '../support/socket-guest.ts';

const RTC = 0x68;
const EEPROM = 0x50;

let directory: ReturnType<typeof socketDirectory>;
let socket: string;
let daemon: DaemonProcess | undefined;

beforeEach(() => {
  directory = socketDirectory();
  socket = join(directory.path, 'i2c.sock');
});
afterEach(async () => {
  daemon?.kill('SIGTERM');
  const exit = await daemon?.exit;
  daemon = undefined;
  directory[Symbol.dispose]();
  if (exit !== undefined) expect(exit).toEqual({ code: 0, signal: null });
});

async function start(count: number, ...args: string[]): Promise<void> {
  daemon = new DaemonProcess('-s', socket, '-c', String(count), ...args);
  await daemon.logged('device ready', count);
}

function fromBcd(byte: number | undefined): number {
  return ((byte ?? 0) >> 4) * 10 + ((byte ?? 0) & 0xf);
}

describe('a guest of vhost-device-i2c --simulate', () => {
  it('reads the clock', async () => {
    await start(1, '--simulate');
    const guest = await SocketGuest.connect(`${socket}0`);
    const before = Math.floor(Date.now() / 1000);
    const registers = (await guest.read(RTC, 0, 7)) ?? [];
    const after = Math.floor(Date.now() / 1000);
    const [second, minute, hour, , day, month, year] = registers.map(fromBcd) as number[];
    const time = Date.UTC(2000 + (year ?? 0), (month ?? 0) - 1, day, hour, minute, second) / 1000;
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(after);
    guest.close();
  });

  it('is told of in the log when it goes on and its chips cannot', async () => {
    const state = join(directory.path, 'state');
    mkdirSync(state);
    const anew = (): unknown[] =>
      daemon?.log.filter(({ msg }) => String(msg).includes('begin anew')) ?? [];
    /** Starts a daemon that a guest goes on with. @returns what the log has of chips */
    const goOn = async (...args: string[]): Promise<unknown[]> => {
      await start(1, '--simulate=24c02@0x50,tmp105@0x48', ...args);
      const guest = await SocketGuest.connect(`${socket}0`, 5);
      expect(await guest.read(EEPROM, 0x10, 1)).toEqual([255]);
      guest.close();
      daemon?.kill('SIGTERM');
      expect(await daemon?.exit).toEqual({ code: 0, signal: null });
      return anew();
    };
    const both = ['24c02@0x50', 'tmp105@0x48'];
    expect(await goOn()).toEqual([expect.objectContaining({ chips: both })]);
    expect(await goOn('--state-dir', state)).toEqual([expect.objectContaining({ chips: both })]);
    // What has a memory has it again.
    expect(await goOn('--state-dir', state)).toEqual([
      expect.objectContaining({ chips: ['tmp105@0x48'] }),
    ]);
    daemon = undefined;
    await start(1, '--simulate');
    const guest = await SocketGuest.connect(`${socket}0`);
    expect(await guest.read(EEPROM, 0x10, 1)).toEqual([255]);
    guest.close();
    expect(anew()).toEqual([]);
  });

  it('reads back what it wrote, also after it was gone', async () => {
    await start(1, '--simulate');
    const first = await SocketGuest.connect(`${socket}0`);
    expect(await first.read(EEPROM, 0x10, 4)).toEqual([255, 255, 255, 255]);
    const [written] = await first.exchange({ address: EEPROM, write: [0x10, 1, 2, 3, 4] });
    expect(written?.status).toBe(0);
    expect(await first.read(EEPROM, 0x10, 4)).toEqual([1, 2, 3, 4]);
    first.close();
    const second = await SocketGuest.connect(`${socket}0`);
    expect(await second.read(EEPROM, 0x10, 4)).toEqual([1, 2, 3, 4]);
    second.close();
  });

  it('finds the chips that it may reach by quick writes, and no others', async () => {
    await start(1, '--simulate', '24c02@0x50,24c02@0x51,ds1338@0x20', '-l', '0:0x20:0x51:0x52');
    const guest = await SocketGuest.connect(`${socket}0`);
    const shapes = Array.from({ length: 0x70 }, (_, i) => ({ address: i + 8 }));
    const answers = await guest.exchange(...shapes.slice(0, 100));
    const found = shapes.filter((_, i) => answers[i]?.status === 0).map(({ address }) => address);
    expect(found).toEqual([0x20, 0x51]);
    guest.close();
  });

  it('has its own chips, and does not notice the others', async () => {
    await start(3, '--simulate', '--workers', '2');
    const guests = await Promise.all([0, 1, 2].map((i) => SocketGuest.connect(`${socket}${i}`)));
    await Promise.all(
      guests.map((guest, i) => guest.exchange({ address: EEPROM, write: [0, i + 1] })),
    );
    const read = await Promise.all(guests.map((guest) => guest.read(EEPROM, 0, 1)));
    expect(read).toEqual([[1], [2], [3]]);
    for (const guest of guests) guest.close();
  });

  it('makes a thousand transfers without loss', async () => {
    await start(1, '--simulate');
    const guest = await SocketGuest.connect(`${socket}0`);
    for (let i = 0; i < 500; i++) {
      const value = (i * 7) & 0xff;
      const [written] = await guest.exchange({ address: EEPROM, write: [i & 0xff, value] });
      expect(written?.status).toBe(0);
      expect(await guest.read(EEPROM, i & 0xff, 1)).toEqual([value]);
    }
    guest.close();
  });

  it('breaks its own ring and nobody else’s service', async () => {
    await start(2, '--simulate');
    const [bad, good] = await Promise.all([0, 1].map((i) => SocketGuest.connect(`${socket}${i}`)));
    if (bad === undefined || good === undefined) throw new Error('not connected');
    bad.breakRing();
    await daemon?.logged('the ring cannot be served until the driver mends it');
    expect(await good.read(EEPROM, 0, 1)).toEqual([255]);
    bad.close();
    const again = await SocketGuest.connect(`${socket}0`);
    expect(await again.read(EEPROM, 0, 1)).toEqual([255]);
    again.close();
    good.close();
  });
});
