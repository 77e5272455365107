import type { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { expect, it } from 'vitest';
import type { QemuGuest } from '../../../src/box/index.ts';

/** A TMP105 at 0x48 of bus 0, as Linux's driver `lm75` sees it, and its temperature from outside. */
export function thermometerCases(guest: () => QemuGuest, control: () => ControlClient): void {
  const bus = '/sys/bus/i2c/devices/i2c-0';
  const bind = async (name: string): Promise<string> => {
    await guest().sh(`echo ${name} 0x48 > ${bus}/new_device`);
    return (await guest().sh('echo /sys/bus/i2c/devices/0-0048/hwmon/hwmon*')).trim();
  };
  const unbind = (): Promise<string> => guest().sh(`echo 0x48 > ${bus}/delete_device`);
  const set = (degrees: string): Promise<object> =>
    control().command(['chip', '0x48', 'temperature', degrees]);

  it("runs Linux's own driver of the thermometer, which sees the temperature change", async () => {
    await set('25');
    const hwmon = await bind('lm75');
    expect(await guest().sh(`cat ${hwmon}/name ${hwmon}/temp1_input`)).toBe('lm75\n25000\n');
    for (const [degrees, seen] of [
      ['-23.5', -23_500],
      ['99', 99_000],
    ] as const) {
      expect(await set(degrees)).toEqual({ temperature: Number(degrees) });
      expect(await guest().sh(`cat ${hwmon}/temp1_input`)).toBe(`${seen}\n`);
    }
    await guest().sh(`echo 60000 > ${hwmon}/temp1_max && echo 55000 > ${hwmon}/temp1_max_hyst`);
    expect(await control().command(['chip', '0x48'])).toMatchObject({
      ...{ chip: 'tmp105', temperature: 99, high: 60, low: 55 },
    });
    await unbind();
  });

  it('shows that driver the twelve bits that it asks a TMP105 for', async () => {
    const hwmon = await bind('tmp105');
    await set('23.0625');
    // The driver cuts off what is less than a thousandth.
    expect(await guest().sh(`cat ${hwmon}/temp1_input`)).toBe('23062\n');
    await unbind();
    await set('25');
  });
}
