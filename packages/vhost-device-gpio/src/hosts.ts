import type { GpioHostOptions } from './device.ts';
import { GpioError } from './errors.ts';
import { parseLineNames } from './line-names.ts';
import { findChip, type OpenChip } from './linux/chips.ts';
import type { GpioOptions } from './options.ts';

/**
 * Where the lines of each socket's device are: looks at the chips that the command line names. A name
 * that `--line-names` gives a line is told instead of the firmware's.
 *
 * @param dev - where the device files are
 * @throws {GpioError} USAGE, NO_SUCH_CHIP, AMBIGUOUS_CHIP, CHIP_UNUSABLE, PERMISSION
 */
export function findHosts(
  { devices, lineNames }: Pick<GpioOptions, 'devices' | 'lineNames'>,
  dev = '/dev',
  openChip?: OpenChip,
): GpioHostOptions[] {
  const taken = new Set<number>();
  return devices.map((entry, index): GpioHostOptions => {
    const given = lineNames[index] ?? '';
    if (entry.kind === 'simulated') {
      const { lines } = entry;
      return { kind: 'simulated', lines, names: parseLineNames(given, lines) };
    }
    const { number, label, names } = findChip(entry, dev, openChip);
    if (taken.has(number)) {
      const text = 'Cannot use the device list: a name and a number in it are the same chip';
      throw new GpioError('USAGE', text);
    }
    taken.add(number);
    const wished = given === '' ? [] : parseLineNames(given, names.length);
    return { kind: 'linux', number, label, names: names.map((name, line) => wished[line] || name) };
  });
}
