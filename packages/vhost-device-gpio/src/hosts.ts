import type { GpioHostOptions } from './device.ts';
import { GpioError } from './errors.ts';
import { parseLineNames } from './line-names.ts';
import type { GpioOptions } from './options.ts';

/**
 * Where the lines of each socket's device are: looks at the chips that the command line names.
 *
 * @throws {GpioError} USAGE, NO_SUCH_CHIP, AMBIGUOUS_CHIP, CHIP_UNUSABLE, PERMISSION
 */
export function findHosts({
  devices,
  lineNames,
}: Pick<GpioOptions, 'devices' | 'lineNames'>): GpioHostOptions[] {
  return devices.map((entry, index) => {
    if (entry.kind === 'simulated') {
      return { kind: 'simulated', names: parseLineNames(lineNames[index] ?? '', entry.lines) };
    }
    throw new GpioError('NO_SUCH_CHIP', 'not yet');
  });
}
