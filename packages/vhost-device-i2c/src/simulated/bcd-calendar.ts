// The counters of a real-time clock, as registers of binary-coded decimals.

export const SECONDS = 0;
const MINUTES = 1;
const HOURS = 2;
const DAY = 3;
const DATE = 4;
const MONTH = 5;
const YEAR = 6;
/** How many there are. */
export const TIME_REGISTERS = YEAR + 1;

/** Clock halt, in the seconds register: not part of the count. */
export const CH = 0x80;
const TWELVE_HOURS = 0x40;
const PM = 0x20;

const LAST_SECOND = 59;
const LAST_MINUTE = 59;
const LAST_HOUR = 23;
const LAST_DAY = 7;
const LAST_MONTH = 12;
const YEARS = 100;
const DAYS_OF_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const FEBRUARY = 2;

const toBcd = (value: number): number => (Math.floor(value / 10) << 4) | (value % 10);
const fromBcd = (byte: number): number => (byte >> 4) * 10 + (byte & 0xf);

/** A counter's new value, and how often it went over its end. */
interface Count {
  readonly value: number;
  readonly carry: number;
}

/** Counts from `value` on. One at its end or, by an illogical entry, beyond it begins anew. */
function count(value: number, steps: number, first: number, last: number): Count {
  if (steps === 0) return { value, carry: 0 };
  const beyond = value > last;
  const total = beyond ? steps - 1 : value - first + steps;
  const period = last - first + 1;
  return {
    value: first + (total % period),
    carry: Math.floor(total / period) + (beyond ? 1 : 0),
  };
}

/** 24-hour value of an hours register of either format. */
function hours(byte: number): number {
  if ((byte & TWELVE_HOURS) === 0) return fromBcd(byte);
  return (fromBcd(byte & 0x1f) % 12) + ((byte & PM) === 0 ? 0 : 12);
}

/** In the format that the register has now. */
function encodeHours(value: number, format: number): number {
  if ((format & TWELVE_HOURS) === 0) return toBcd(value);
  return TWELVE_HOURS | (value >= 12 ? PM : 0) | toBcd(value % 12 === 0 ? 12 : value % 12);
}

/** The chip knows no century: every fourth year is a leap year, which is right until 2100. */
function lastDate(month: number, year: number): number {
  if (month === FEBRUARY && year % 4 === 0) return 29;
  return DAYS_OF_MONTH[month - 1] ?? 31;
}

/** Sets all counters, to a time in UTC of 2000..2099, Sunday being day 1. */
export function setTime(registers: Uint8Array, milliseconds: number): void {
  const time = new Date(milliseconds);
  registers[SECONDS] = toBcd(time.getUTCSeconds());
  registers[MINUTES] = toBcd(time.getUTCMinutes());
  registers[HOURS] = toBcd(time.getUTCHours());
  registers[DAY] = time.getUTCDay() + 1;
  registers[DATE] = toBcd(time.getUTCDate());
  registers[MONTH] = toBcd(time.getUTCMonth() + 1);
  registers[YEAR] = toBcd(time.getUTCFullYear() % YEARS);
}

/** What the counters say, as `2028-02-29T23:59:58Z`; digits as they are, where they are illogical. */
export function readTime(registers: Uint8Array): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const field = (register: number): string => two(fromBcd(registers[register] as number));
  const seconds = two(fromBcd((registers[SECONDS] as number) & ~CH));
  const date = `20${field(YEAR)}-${field(MONTH)}-${field(DATE)}`;
  return `${date}T${two(hours(registers[HOURS] as number))}:${field(MINUTES)}:${seconds}Z`;
}

/**
 * Lets seconds go by. Each counter is carried into by the one before and by nothing else: the day of
 * the week counts midnights, whatever the date says. A register into which nothing is carried keeps
 * what was written, illogical or not.
 *
 * @param seconds - an integer >= 0
 */
export function advance(registers: Uint8Array, seconds: number): void {
  const read = (register: number): number => registers[register] as number;
  const step = (register: number, steps: number, first: number, last: number): number => {
    if (steps === 0) return 0;
    const { value, carry } = count(fromBcd(read(register)), steps, first, last);
    registers[register] = toBcd(value);
    return carry;
  };
  const minutes = step(SECONDS, seconds, 0, LAST_SECOND);
  const fullHours = step(MINUTES, minutes, 0, LAST_MINUTE);
  if (fullHours === 0) return;
  const hour = count(hours(read(HOURS)), fullHours, 0, LAST_HOUR);
  registers[HOURS] = encodeHours(hour.value, read(HOURS));
  const midnights = hour.carry;
  step(DAY, midnights, 1, LAST_DAY);
  for (let left = midnights; left > 0; ) {
    const last = lastDate(fromBcd(read(MONTH)), fromBcd(read(YEAR)));
    const steps = Math.min(left, Math.max(1, last - fromBcd(read(DATE)) + 1));
    left -= steps;
    const months = step(DATE, steps, 1, last);
    step(YEAR, step(MONTH, months, 1, LAST_MONTH), 0, YEARS - 1);
  }
}
