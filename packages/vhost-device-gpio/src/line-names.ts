import { GpioError } from './errors.ts';

/** Bytes of a name with its zero byte that Linux has room for (GPIO_MAX_NAME_SIZE of linux/gpio.h). */
const NAME_SIZE = 32;

/** 7-bit ASCII (VIRTIO 1.3 §5.18.6.1) that can be printed; 1..31 characters. */
const NAME = new RegExp(`^[\\x20-\\x7e]{0,${NAME_SIZE - 1}}$`);

/**
 * The gpio-names block of VIRTIO 1.3 §5.18.6.1: a zero-terminated string for each line.
 *
 * @param names - '' for lines without
 * @returns empty when no line has a name
 */
export function namesBlock(names: readonly string[]): Uint8Array {
  if (names.every((name) => name === '')) return new Uint8Array(0);
  return Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
}

/**
 * What of names can be told to a driver: a name that is not ASCII, or is another line's already, becomes
 * none, for a chip of the host may have any.
 */
export function tellableNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    if (!NAME.test(name) || taken.has(name)) return '';
    if (name !== '') taken.add(name);
    return name;
  });
}

/**
 * Reads the names of one device's lines: `a,b,,d`.
 *
 * @param lines - how many lines it has
 * @returns of the first lines; '' for lines without
 * @throws {GpioError} USAGE
 */
export function parseLineNames(list: string, lines: number): string[] {
  const names = list === '' ? [] : list.split(',');
  const refuse = (state: string): GpioError =>
    new GpioError('USAGE', `Cannot read line names "${list}": ${state}`);
  if (names.length > lines) throw refuse(`${names.length} names for ${lines} lines`);
  const taken = new Set<string>();
  for (const name of names) {
    if (!NAME.test(name)) {
      throw refuse(`"${name}" is not ASCII of up to ${NAME_SIZE - 1} characters`);
    }
    if (name !== '' && taken.has(name)) throw refuse(`"${name}" is given twice`);
    taken.add(name);
  }
  return names;
}
