import { expect, it } from 'vitest';
import type { QemuGuest } from '../../../src/box/index.ts';
import { bindClock, readClock } from '../guest-clock.ts';

/**
 * An I2C adapter with a DS1338 at 0x68, a 24c02 at 0x50 and a TMP105 at 0x48, as Linux's driver and
 * i2c-tools see it.
 *
 * @param transfers - without a loss
 */
export function i2cCases(guest: () => QemuGuest, transfers: number): void {
  it('is found with its chips and nothing else', async () => {
    const detected = await guest().sh('i2cdetect -y -r 0');
    expect(detected.match(/ [0-9a-f]{2}(?= )/g)).toEqual([' 48', ' 50', ' 68']);
  });

  it('serves bytes, blocks and combined transfers', async () => {
    await guest().sh('i2cset -y 0 0x50 0x10 0xa5');
    expect(await guest().sh('i2cget -y 0 0x50 0x10')).toBe('0xa5\n');
    await guest().sh('i2ctransfer -y 0 w8@0x50 0x20 1 2 3 4 5 6 7');
    expect(await guest().sh('i2ctransfer -y 0 w1@0x50 0x20 r7')).toBe(
      '0x01 0x02 0x03 0x04 0x05 0x06 0x07\n',
    );
    const absent = await guest().exec('i2cget -y 0 0x31 0');
    expect(absent.code).not.toBe(0);
  });

  it('serves on after a transfer that is longer than the queue and fails', async () => {
    // Six messages, of which Linux sends the four that QEMU's queue has room for.
    const six = await guest().exec(
      'i2ctransfer -y 0 w1@0x50 0 r1 w1@0x31 0 r1@0x31 w1@0x50 0 r1@0x50',
    );
    expect(`${six.stdout}${six.stderr}`).toMatch(/only 2\/6 messages/);
    await guest().sh('sleep 2');
    expect(await guest().sh('i2cget -y 0 0x68 7')).toBe('0x93\n');
  });

  it("runs Linux's own driver of the clock", async () => {
    const rtc = await bindClock(guest(), '0x68');
    expect(Math.abs(Date.now() - (await readClock(guest(), rtc)))).toBeLessThan(60_000);
    // Over the end of a February of 29 days.
    await guest().sh(`date -u -s '2028-02-29 23:59:58' && hwclock -w -u -f ${rtc} && sleep 3`);
    const time = await readClock(guest(), rtc);
    expect(time).toBeGreaterThanOrEqual(Date.UTC(2028, 2, 1));
    expect(time).toBeLessThan(Date.UTC(2028, 2, 2));
  });

  it("runs Linux's own driver of the EEPROM", async () => {
    const file = '/sys/bus/i2c/devices/0-0050/eeprom';
    await guest().sh('echo 24c02 0x50 > /sys/bus/i2c/devices/i2c-0/new_device');
    await guest().sh(`printf 'node-vmm over pages' | dd of=${file} bs=1 seek=133`);
    expect(await guest().sh(`dd if=${file} bs=1 skip=133 count=19`)).toBe('node-vmm over pages');
    await guest().sh('echo 0x50 > /sys/bus/i2c/devices/i2c-0/delete_device');
  });

  it(`loses none of ${transfers} transfers`, async () => {
    const script = `f=0; i=0; while [ $i -lt ${transfers} ]; do [ "$(i2cget -y 0 0x50 0x10)" = 0xa5 ] || f=$((f+1)); i=$((i+1)); done; echo $f`;
    expect(await guest().sh(script, { timeoutMs: 120_000 })).toBe('0\n');
  });
}
