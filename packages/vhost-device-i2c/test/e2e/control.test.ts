import { join } from 'node:path';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DaemonProcess, socketDirectory } from '../support/daemon.ts';
import { SocketGuest } from '../support/socket-guest.ts';

const THERMOMETER = 0x48;
const EEPROM = 0x50;
const RTC = 0x68;
const BOARD = 'tmp105@0x48,24c02@0x50,ds1338@0x68,24c02@0xa150';

let directory: ReturnType<typeof socketDirectory>;
let daemon: DaemonProcess | undefined;
let guest: SocketGuest | undefined;
let client: ControlClient | undefined;

beforeEach(() => {
  directory = socketDirectory();
});
afterEach(async () => {
  client?.close();
  guest?.close();
  daemon?.kill('SIGTERM');
  await daemon?.exit;
  [daemon, guest, client] = [undefined, undefined, undefined];
  directory[Symbol.dispose]();
});

async function start(...args: string[]): Promise<{ guest: SocketGuest; client: ControlClient }> {
  const socket = join(directory.path, 'i2c.sock');
  const control = join(directory.path, 'control');
  const options = ['-s', socket, '-c', '1', `--simulate=${BOARD}`, '--control-socket', control];
  daemon = new DaemonProcess(...options, ...args);
  await daemon.logged('device ready');
  guest = await SocketGuest.connect(`${socket}0`);
  client = await ControlClient.connect(control);
  return { guest, client };
}

describe('the chips of vhost-device-i2c, from outside', () => {
  it('measure, keep time and hold what the control socket says', async () => {
    const { guest, client } = await start();
    expect(await guest.read(THERMOMETER, 0, 2)).toEqual([25, 0]);
    expect(await client.command(['chip', '0x48', 'temperature', '-23.5'])).toEqual({
      temperature: -23.5,
    });
    expect(await guest.read(THERMOMETER, 0, 2)).toEqual([0xe8, 0x80]);
    await client.command(['chip', '0x68', 'time', '2028-02-29T12:00:00Z']);
    expect((await guest.read(RTC, 4, 3)) ?? []).toEqual([0x29, 0x02, 0x28]);
    await client.command(['chip', '0xa150', 'contents', '0x10', '0102']);
    expect(await guest.read(0xa150, 0x10, 3)).toEqual([1, 2, 0xff]);
    await guest.exchange({ address: EEPROM, write: [0, 0x5a] });
    expect(await client.command(['state'])).toMatchObject({
      adapters: [
        {
          name: 'simulated',
          addresses: ['0x48', '0x50', '0x68', '0xa150'],
          chips: [
            { address: '0x48', temperature: -23.5 },
            { address: '0x50', contents: `5a${'ff'.repeat(255)}` },
            { address: '0x68', chip: 'ds1338' },
            { address: '0xa150' },
          ],
        },
      ],
      counters: { requests: 9, errors: 0 },
    });
    await expect(client.command(['chip', '0x49'])).rejects.toMatchObject({ code: 'REFUSED' });
    await expect(client.command(['press', 'x'])).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('show their transfers to who watches', async () => {
    const { guest, client } = await start();
    using watch = await client.watch();
    await guest.read(THERMOMETER, 0, 2);
    for await (const event of watch) {
      expect(event).toMatchObject({
        event: 'transfer',
        succeeded: 2,
        messages: [
          { address: '0x48', read: false, data: '00' },
          { address: '0x48', read: true, data: '1900' },
        ],
      });
      break;
    }
  });

  it('outlive a daemon that is killed, with a state directory', async () => {
    const state = ['--state-dir', directory.path];
    const first = await start(...state);
    await first.guest.exchange({ address: EEPROM, write: [0x20, 1, 2, 3] });
    await first.guest.exchange({ address: RTC, write: [0x08, 0x77] });
    await first.client.command(['chip', '0x68', 'time', '2031-05-06T07:08:09Z']);
    daemon?.kill('SIGKILL');
    expect(await daemon?.exit).toEqual({ code: null, signal: 'SIGKILL' });
    first.guest.close();
    first.client.close();

    const second = await start(...state);
    expect(await second.guest.read(EEPROM, 0x20, 4)).toEqual([1, 2, 3, 0xff]);
    const [date, month, year, control, memory] = (await second.guest.read(RTC, 4, 5)) ?? [];
    expect([date, month, year, memory]).toEqual([0x06, 0x05, 0x31, 0x77]);
    expect(control).toBe(0x93);
  });
});
