import { GpioError } from './errors.ts';
import { GPIO_LINES_MAX } from './gpio-host.ts';

/** Where the lines of one socket's device are: a chip of the host, or simulated ones. */
export type DeviceListEntry =
  | { readonly kind: 'simulated'; readonly lines: number }
  /** N of `/dev/gpiochipN`. */
  | { readonly kind: 'linux'; readonly number: number }
  /** `gpiochipN`, or a chip's label. */
  | { readonly kind: 'linux'; readonly name: string };

const SIMULATED = /^s([0-9]+)$/;
const NUMBER = /^[0-9]+$/;
const CHIP_MAX = 0x7fff_ffff;

/**
 * Reads a device list: `<chip>[:<chip>]...`, one for each socket, each a number or name of a chip, or
 * `s` and a number of simulated lines.
 *
 * @throws {GpioError} USAGE
 */
export function parseDeviceList(list: string): DeviceListEntry[] {
  const refuse = (state: string): GpioError =>
    new GpioError('USAGE', `Cannot read device list "${list}": ${state}`);
  const taken = new Set<number | string>();
  return list.split(':').map((text) => {
    if (text === '') throw refuse('expected a chip or s<lines> for each socket, such as 0:s8');
    const simulated = SIMULATED.exec(text);
    if (simulated !== null) {
      const lines = Number(simulated[1]);
      if (lines >= 1 && lines <= GPIO_LINES_MAX) return { kind: 'simulated', lines };
      throw refuse(`"${text}" has not 1 to ${GPIO_LINES_MAX} lines`);
    }
    const chip = NUMBER.test(text) ? Number(text) : text;
    if (typeof chip === 'number' && chip > CHIP_MAX) throw refuse(`there is no chip ${text}`);
    if (taken.has(chip)) throw refuse(`chip ${text} is given twice`);
    taken.add(chip);
    return typeof chip === 'number'
      ? { kind: 'linux', number: chip }
      : { kind: 'linux', name: chip };
  });
}
