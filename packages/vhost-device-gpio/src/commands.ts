import { DeviceCommandError } from '@node-vmm/vhost-user-backend';
import type { LineCounters } from './counters.ts';
import type { GpioLevel } from './gpio-host.ts';
import type { EdgeOutcome } from './interrupts.ts';
import type { DirectionWord, TriggerWord } from './words.ts';

/** Ours: most lines of one answer, so that it does not grow without bound. */
export const STATE_LINES_MAX = 1024;

/** A line, as `state` and `line N` tell it. */
export interface LineReport {
  readonly line: number;
  /** '' for a line without. */
  readonly name: string;
  /** As the guest configured it. */
  readonly direction: DirectionWord;
  /** What an output drives, else the level that was last seen. */
  readonly value: GpioLevel;
  readonly trigger: TriggerWord;
  /** The guest has not unmasked the line, or has been interrupted since. */
  readonly masked: boolean;
  /** An edge waits for the guest to unmask the line. */
  readonly latched: boolean;
  /** Since the daemon was started. */
  readonly interrupts: LineCounters;
}

/** An edge from outside, and what became of it. */
export interface EdgeReport {
  readonly edge: 'rising' | 'falling';
  readonly became: EdgeOutcome;
}

/** Answer of `line N 0|1|pulse`. */
export interface MoveReport {
  readonly line: number;
  readonly value: GpioLevel;
  /** One for each change of the level: none, one, or two of a pulse. */
  readonly edges: readonly EdgeReport[];
}

/** Answer of `state`. */
export interface StateReport {
  readonly lines: readonly LineReport[];
  /** Where to go on, if these are not all: `state <next>`. */
  readonly next?: number;
  readonly counters: object;
}

/** What commands act on. */
export interface CommandTarget {
  /** By line; '' for lines without. */
  readonly names: readonly string[];
  readonly counters: object;
  report(line: number): LineReport;
  /**
   * Moves a line from outside.
   *
   * @returns what became of the edge, undefined where the level was that already
   * @throws {DeviceCommandError} REFUSED
   */
  move(line: number, level: GpioLevel): EdgeReport | undefined;
}

const USAGE = 'expected "line <n|name> [0|1|pulse]" or "state [first line]"';

function usage(words: readonly string[], why: string): DeviceCommandError {
  return new DeviceCommandError('USAGE', `Cannot do "${words.join(' ')}": ${why}`);
}

/**
 * Does what somebody asks for from outside.
 *
 * @throws {DeviceCommandError} USAGE, REFUSED
 */
export function runLineCommand(target: CommandTarget, words: readonly string[]): object {
  const [verb, subject, level, ...rest] = words;
  if (verb === 'state' && level === undefined) {
    return state(target, subject === undefined ? 0 : lineOf(target, words, subject));
  }
  if (verb !== 'line' || subject === undefined || rest.length > 0) throw usage(words, USAGE);
  const line = lineOf(target, words, subject);
  switch (level) {
    case undefined:
      return target.report(line);
    case '0':
      return moved(target, line, [0]);
    case '1':
      return moved(target, line, [1]);
    case 'pulse': {
      const { value } = target.report(line);
      return moved(target, line, value === 0 ? [1, 0] : [0, 1]);
    }
    default:
      throw usage(words, USAGE);
  }
}

function state(target: CommandTarget, first: number): StateReport {
  const { counters, names } = target;
  const end = Math.min(names.length, first + STATE_LINES_MAX);
  const lines = Array.from({ length: end - first }, (_, i) => target.report(first + i));
  return { lines, ...(end < names.length ? { next: end } : {}), counters };
}

function moved(target: CommandTarget, line: number, levels: readonly GpioLevel[]): MoveReport {
  const edges = levels.map((level) => target.move(line, level));
  return {
    line,
    value: target.report(line).value,
    edges: edges.filter((edge) => edge !== undefined),
  };
}

/** A number, else a name. */
function lineOf({ names }: CommandTarget, words: readonly string[], text: string): number {
  const line = /^[0-9]{1,5}$/.test(text) ? Number(text) : names.indexOf(text);
  if (text === '' || line < 0 || line >= names.length) {
    throw usage(words, `there is no line "${text}"; the device has ${names.length}`);
  }
  return line;
}
