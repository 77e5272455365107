import type { XenBox } from '../../src/box/index.ts';

/** A chip of dom0's kernel whose lines' other ends the test holds. */
export interface GpioSim {
  /** `gpiochipN`. */
  readonly chip: string;
  /** Pulls a line, as a button does: an edge for who watches it. */
  pull(line: number, level: 0 | 1): Promise<void>;
  /** What is on a line. */
  value(line: number): Promise<number>;
  /** Removes the chip. */
  remove(): Promise<void>;
}

/**
 * Makes a chip of Linux's gpio-sim in dom0.
 *
 * @param names - of its lines
 */
export async function gpioSim(box: XenBox, names: readonly string[]): Promise<GpioSim> {
  const dir = '/sys/kernel/config/gpio-sim/box';
  const named = names.map((name, line) => {
    const place = `${dir}/bank0/line${line}`;
    return `mkdir ${place} && echo ${name} > ${place}/name`;
  });
  const made = await box.sh(
    [
      `mkdir -p ${dir}/bank0`,
      `echo ${names.length} > ${dir}/bank0/num_lines`,
      ...named,
      `echo 1 > ${dir}/live`,
      `cat ${dir}/dev_name ${dir}/bank0/chip_name`,
    ].join(' && '),
  );
  const [device, chip = ''] = made.trim().split('\n');
  const line = (number: number): string =>
    `/sys/devices/platform/${device}/${chip}/sim_gpio${number}`;
  return {
    chip,
    pull: async (number, level) => {
      await box.sh(`echo pull-${level === 1 ? 'up' : 'down'} > ${line(number)}/pull`);
    },
    value: async (number) => Number(await box.sh(`cat ${line(number)}/value`)),
    remove: async () => {
      await box.sh(`echo 0 > ${dir}/live && rmdir ${dir}/bank0/line* ${dir}/bank0 ${dir}`);
    },
  };
}
