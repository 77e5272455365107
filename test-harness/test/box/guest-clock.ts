import { expect } from 'vitest';

/** What reads a clock: a guest of QEMU or of Xen. */
export interface Shell {
  sh(command: string): Promise<string>;
}

/**
 * Binds Linux's driver to a DS1338 on the guest's bus 0.
 *
 * @param address - of the chip
 * @returns the clock's device file; the machine may have a clock of its own as well
 */
export async function bindClock(guest: Shell, address: string): Promise<string> {
  const bus = '/sys/bus/i2c/devices/i2c-0/new_device';
  // A guest that is up may wait for its device still: its driver's first access is held meanwhile.
  await guest.sh(`n=0; until [ -e ${bus} ] || [ $n -ge 60 ]; do sleep 1; n=$((n+1)); done`);
  await guest.sh(`echo ds1338 ${address} > ${bus}`);
  const found = await guest.sh('grep -l ds1307 /sys/class/rtc/rtc*/name');
  return `/dev/${/rtc\d+(?=\/name)/.exec(found)?.[0]}`;
}

/**
 * Reads a clock by `hwclock`.
 *
 * @returns milliseconds since 1970
 */
export async function readClock(guest: Shell, rtc: string): Promise<number> {
  const read = (await guest.sh(`TZ=UTC hwclock -r -u -f ${rtc}`)).trim();
  const time = Date.parse(`${read.replace(/\s+\S*seconds$/, '').replace(/\.\d+.*$/, '')} UTC`);
  expect(time, `hwclock says ${read}`).not.toBeNaN();
  return time;
}
