import { DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QemuGuest } from '../../src/box/index.ts';
import { bindClock, readClock } from './guest-clock.ts';
import { QEMUS } from './qemus.ts';
import { rebindDrivers } from './virtio-drivers.ts';

// All daemons behind QEMU's own front-ends and Linux's own drivers, at once, in one guest. The template,
// what a device author begins with, is an entropy device beside the daemon for entropy.
const main = (name: string): URL =>
  new URL(`../../../packages/vhost-device-${name}/dist/main.js`, import.meta.url);
const BOARD = '--simulate=ds1338@0x68,24c02@0x50';

for (const { qemu, ready, title } of QEMUS) {
  describe.skipIf(!ready)(`the devices behind ${title}`, () => {
    const daemons: Record<string, DaemonProgram> = {};
    let guest: QemuGuest;

    const start = async (name: string, args: readonly string[] = []): Promise<void> => {
      daemons[name] = await DaemonProgram.start({ main: main(name), args });
    };
    const daemon = (name: string): DaemonProgram => {
      const found = daemons[name];
      if (found === undefined) throw new Error(`Cannot use ${name}: it is not started`);
      return found;
    };

    beforeAll(async () => {
      await start('i2c', [BOARD]);
      await start('template');
      guest = await QemuGuest.boot({
        name: `qemu-devices-${qemu}`,
        qemu,
        vhostUser: [
          { kind: 'i2c', socket: daemon('i2c').socketPath() },
          { kind: 'rng', socket: daemon('template').socketPath() },
        ],
      });
    });

    afterAll(async () => {
      await guest?.stop();
      for (const started of Object.values(daemons)) {
        expect(await started.stop()).toEqual({ code: 0, signal: null });
      }
    });

    describe('i2c', () => {
      it('is found with its chips and nothing else', async () => {
        const detected = await guest.sh('i2cdetect -y -r 0');
        expect(detected.match(/ [0-9a-f]{2}(?= )/g)).toEqual([' 50', ' 68']);
      });

      it('serves bytes, blocks and combined transfers', async () => {
        await guest.sh('i2cset -y 0 0x50 0x10 0xa5');
        expect(await guest.sh('i2cget -y 0 0x50 0x10')).toBe('0xa5\n');
        await guest.sh('i2ctransfer -y 0 w8@0x50 0x20 1 2 3 4 5 6 7');
        expect(await guest.sh('i2ctransfer -y 0 w1@0x50 0x20 r7')).toBe(
          '0x01 0x02 0x03 0x04 0x05 0x06 0x07\n',
        );
        const absent = await guest.exec('i2cget -y 0 0x31 0');
        expect(absent.code).not.toBe(0);
      });

      it('serves on after a transfer that is longer than the queue and fails', async () => {
        // Six messages, of which Linux sends the four that QEMU's queue has room for.
        const six = await guest.exec(
          'i2ctransfer -y 0 w1@0x50 0 r1 w1@0x31 0 r1@0x31 w1@0x50 0 r1@0x50',
        );
        expect(`${six.stdout}${six.stderr}`).toMatch(/only 2\/6 messages/);
        await guest.sh('sleep 2');
        expect(await guest.sh('i2cget -y 0 0x68 7')).toBe('0x93\n');
      });

      it("runs Linux's own driver of the clock", async () => {
        const rtc = await bindClock(guest, '0x68');
        expect(Math.abs(Date.now() - (await readClock(guest, rtc)))).toBeLessThan(60_000);
        // Over the end of a February of 29 days.
        await guest.sh(`date -u -s '2028-02-29 23:59:58' && hwclock -w -u -f ${rtc} && sleep 3`);
        const time = await readClock(guest, rtc);
        expect(time).toBeGreaterThanOrEqual(Date.UTC(2028, 2, 1));
        expect(time).toBeLessThan(Date.UTC(2028, 2, 2));
      });

      it("runs Linux's own driver of the EEPROM", async () => {
        const file = '/sys/bus/i2c/devices/0-0050/eeprom';
        await guest.sh('echo 24c02 0x50 > /sys/bus/i2c/devices/i2c-0/new_device');
        await guest.sh(`printf 'node-vmm over pages' | dd of=${file} bs=1 seek=133`);
        expect(await guest.sh(`dd if=${file} bs=1 skip=133 count=19`)).toBe('node-vmm over pages');
        await guest.sh('echo 0x50 > /sys/bus/i2c/devices/i2c-0/delete_device');
      });

      // Programs start slower in the newest.
      const transfers = qemu === 'installed' ? 1000 : 200;
      it(`loses none of ${transfers} transfers`, async () => {
        const script = `f=0; i=0; while [ $i -lt ${transfers} ]; do [ "$(i2cget -y 0 0x50 0x10)" = 0xa5 ] || f=$((f+1)); i=$((i+1)); done; echo $f`;
        expect(await guest.sh(script, { timeoutMs: 120_000 })).toBe('0\n');
      });
    });

    describe.each(['template'])('entropy of the %s', (name) => {
      it("is the guest's random number generator", async () => {
        // Numbered in the order of their devices.
        const index = ['rng', 'template'].filter((other) => other in daemons).indexOf(name);
        await guest.sh(`echo virtio_rng.${index} > /sys/class/misc/hw_random/rng_current`);
        const current = await guest.sh('cat /sys/class/misc/hw_random/rng_current');
        expect(current.trim()).toBe(`virtio_rng.${index}`);
      });

      it.each([
        [1, 512],
        [64, 4096],
        [16, 65_536],
      ])('fills dd in %i blocks of %i bytes with what does not compress', async (count, size) => {
        // dd counts records: a short read is a partial one.
        const counted = await guest.sh(
          `dd if=/dev/hwrng of=/tmp/r bs=${size} count=${count} 2>&1 | grep 'records in'; ` +
            'wc -c < /tmp/r; gzip -c /tmp/r | wc -c',
          { timeoutMs: 120_000 },
        );
        const [, records, read, compressed] =
          /^(\S+) records in\n(\d+)\n(\d+)\n$/.exec(counted) ?? [];
        expect(records).toBe(`${count}+0`);
        expect(Number(read)).toBe(size * count);
        expect(Number(compressed)).toBeGreaterThan(size * count);
      });

      it('says what it served', async () => {
        daemon(name).kill('SIGUSR1');
        const status = (): string | undefined =>
          daemon(name)
            .stderr.split('\n')
            .find((text) => text.includes('"status"'));
        await expect.poll(status, { timeout: 20_000 }).toBeDefined();
        const [device] = JSON.parse(status() ?? '').status.devices;
        expect(device).toMatchObject({ name: `${name}0`, state: 'connected', connections: 2 });
        expect(device.rings[0]).toMatchObject({ malformedChains: 0, broken: 0 });
        expect(device.rings[0].chains).toBeGreaterThan(100);
      });
    });

    /** That every device still serves. */
    const expectServed = async (): Promise<void> => {
      expect(await guest.sh('i2cget -y 0 0x50 0x10')).toBe('0xa5\n');
      expect(await guest.sh('head -c 64 /dev/hwrng | wc -c')).toBe('64\n');
    };

    it('serves on after their drivers were unbound and bound 20 times', async () => {
      expect(await rebindDrivers(guest, 20)).toHaveLength(Object.keys(daemons).length);
      await expectServed();
    });

    it('serves a guest that has rebooted in the middle of its requests', async () => {
      await guest.sh(
        '(while :; do head -c 4096 /dev/hwrng; i2cget -y 0 0x50 0x10; done) >/dev/null 2>&1 &',
      );
      await guest.sh('sleep 1');
      await guest.reboot();
      expect(await guest.sh('cut -d. -f1 /proc/uptime')).toMatch(/^\d{1,2}\n$/);
      await expectServed();
    });
  });
}
