import { readdirSync } from 'node:fs';
import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util';
import { GpioError } from '../errors.ts';
import { GPIO_LINES_MAX } from '../gpio-host.ts';
import { type GpioChipFile, LinuxGpioChipFile } from './gpio-chip-file.ts';

/** A chip as the user names it: by one of the two. */
export interface ChipSelector {
  /** N of `/dev/gpiochipN`. */
  readonly number?: number;
  /** Its name, `gpiochip0`, or its label. */
  readonly name?: string;
}

/** A chip of the host. */
export interface Chip {
  readonly number: number;
  /** Empty when the chip has none, or does not let us ask. */
  readonly label: string;
  /** How many lines it has; undefined when the chip does not let us ask. */
  readonly lines: number | undefined;
}

/** A chip that can be used. */
export interface UsableChip {
  /** N of `/dev/gpiochipN`. */
  readonly number: number;
  readonly label: string;
  /** Name of each line, '' where it has none. */
  readonly names: readonly string[];
}

/** Opens the file of a chip. Tests give another. */
export type OpenChip = (path: string) => GpioChipFile;

const open: OpenChip = (path) => new LinuxGpioChipFile(path);

/**
 * The host's chips by number; empty when the kernel has no GPIO.
 *
 * @param dev - where the device files are
 */
export function listChips(dev = '/dev', openChip: OpenChip = open): Chip[] {
  let entries: string[];
  try {
    entries = readdirSync(dev);
  } catch {
    return [];
  }
  const chips: Chip[] = [];
  for (const entry of entries) {
    const match = /^gpiochip(\d+)$/.exec(entry);
    if (match === null) continue;
    const number = Number(match[1]);
    let label = '';
    let lines: number | undefined;
    try {
      using file = openChip(`${dev}/${entry}`);
      ({ label, lines } = file.info());
    } catch {
      // Who names it is told why it cannot be used; it only has no label here.
    }
    chips.push({ number, label, lines });
  }
  return chips.sort((a, b) => a.number - b.number);
}

function describe(chips: readonly Chip[]): string {
  if (chips.length === 0) return 'this host has none (is its GPIO driver loaded?)';
  const names = chips.map(({ number, label, lines }) =>
    lines === undefined ? `${number} (cannot be opened)` : `${number} (${label}, ${lines} lines)`,
  );
  return `there are ${names.join(', ')}`;
}

function noSuchChip(wanted: string | number, chips: readonly Chip[]): GpioError {
  const text = `Cannot use GPIO chip ${wanted}: no such chip; ${describe(chips)}`;
  return new GpioError('NO_SUCH_CHIP', text);
}

/**
 * Finds the chip that the command line names and finds out, before any guest does, whether it can be
 * used. Its lines may be in use by others: a guest has an error for those and no other.
 *
 * @throws {GpioError} NO_SUCH_CHIP, AMBIGUOUS_CHIP, PERMISSION, CHIP_UNUSABLE
 */
export function findChip(
  selector: ChipSelector,
  dev = '/dev',
  openChip: OpenChip = open,
): UsableChip {
  const number = selector.number ?? numberOf(selector.name ?? '', dev, openChip);
  const path = `${dev}/gpiochip${number}`;
  let file: GpioChipFile;
  try {
    file = openChip(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') throw noSuchChip(number, listChips(dev, openChip));
    throw openError(error, path);
  }
  try {
    const { label, lines } = file.info();
    if (lines > 0 && lines <= GPIO_LINES_MAX) {
      const names = Array.from({ length: lines }, (_, line) => file.lineInfo(line).name);
      return { number, label, names };
    }
    throw new GpioError(
      'CHIP_UNUSABLE',
      `Cannot use ${path}: it has ${lines} lines, and a device has 1 to ${GPIO_LINES_MAX}`,
      { path },
    );
  } catch (error) {
    if (GpioError.is(error)) throw error;
    throw new GpioError(
      'CHIP_UNUSABLE',
      `Cannot use ${path}: it is no GPIO chip (${errorMessage(error)})`,
      { path },
      { cause: error },
    );
  } finally {
    file[Symbol.dispose]();
  }
}

function numberOf(name: string, dev: string, openChip: OpenChip): number {
  const chips = listChips(dev, openChip);
  const named = chips.filter(({ number }) => `gpiochip${number}` === name);
  const found = named.length > 0 ? named : chips.filter(({ label }) => label === name);
  if (found.length > 1) {
    throw new GpioError(
      'AMBIGUOUS_CHIP',
      `Cannot use GPIO chip "${name}": several have this label; give the number of one: ${found
        .map(({ number }) => number)
        .join(', ')}`,
    );
  }
  if (found[0] === undefined || name === '') throw noSuchChip(`"${name}"`, chips);
  return found[0].number;
}

function openError(error: unknown, path: string): GpioError {
  const cause = { cause: error };
  switch (errorCode(error)) {
    case 'EACCES':
    case 'EPERM':
      return new GpioError(
        'PERMISSION',
        `Cannot open ${path}: permission denied; run as root or as a member of the file's group`,
        { path },
        cause,
      );
    case 'EBUSY':
      return new GpioError(
        'CHIP_UNUSABLE',
        `Cannot open ${path}: it is busy; end the program that has it for itself`,
        { path },
        cause,
      );
    default:
      return new GpioError(
        'CHIP_UNUSABLE',
        `Cannot open ${path}: ${errorMessage(error)}`,
        { path },
        cause,
      );
  }
}
