import type { Command, Option } from 'commander';

/** An option as it stands on a command line. */
export interface GivenOption {
  /** As it was written, without a value that `=` joins: `--socket-path`, `-s`. */
  readonly flag: string;
  /** Undefined: the command does not have it. */
  readonly option: Option | undefined;
  /** Undefined when it takes none, or there is none. */
  readonly value?: string | undefined;
  /** The value is a word of its own. */
  readonly separate?: boolean;
}

/** Commander's own, which is not among a command's options. */
const HELP = new Set(['-h', '--help']);

/** Names of values that are paths. */
const PATHS = new Set(['path', 'dir', 'file', 'source', 'socket']);

/** `--socket-path`, or `-s` where there is nothing longer. */
export function nameOf({ long, short, flags }: Option): string {
  return long ?? short ?? flags;
}

/** The name of an option's value: `path` of `-s, --socket-path <path>`; undefined without one. */
export function valueNameOf({ flags }: Option): string | undefined {
  return /[<[]([^\]>]+)[\]>]$/.exec(flags)?.[1];
}

/** Whether a value of this name is the path of something. */
export function isPathName(name: string | undefined): boolean {
  return name !== undefined && PATHS.has(name);
}

/** Whether an option is written so: `-s` or `--socket-path`. */
export function isCalled({ long, short }: Option, flag: string): boolean {
  return flag === long || flag === short;
}

export function asksForHelp(flag: string): boolean {
  return HELP.has(flag);
}

/**
 * The options on a command line, known or not, as Commander takes them: up to `--`, and of a command that
 * has arguments up to the first of them.
 *
 * @param argv - without the interpreter and the script
 */
export function givenOptions(command: Command, argv: readonly string[]): GivenOption[] {
  const given: GivenOption[] = [];
  const find = (flag: string): Option | undefined =>
    command.options.find((each) => isCalled(each, flag));
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word === '--') break;
    if (!word.startsWith('-') || word === '-') {
      if (command.registeredArguments.length > 0) break;
      continue;
    }
    const { flag, joined, cluster } = takeApart(word, find);
    const option = find(flag);
    for (const each of cluster) given.push({ flag: each, option: find(each) });
    const next = argv[i + 1];
    if (option === undefined || !takesValue(option) || joined !== undefined) {
      given.push({ flag, option, value: joined });
    } else if (option.required || (next !== undefined && !next.startsWith('-'))) {
      given.push({ flag, option, value: next, separate: true });
      i++;
    } else {
      given.push({ flag, option });
    }
  }
  return given;
}

/** One word: `--long`, `--long=value`, `-s`, `-svalue`, or `-abs`, of which the last may take a value. */
function takeApart(
  word: string,
  find: (flag: string) => Option | undefined,
): { flag: string; joined?: string; cluster: readonly string[] } {
  const equals = word.indexOf('=');
  if (word.startsWith('--')) {
    if (equals < 0) return { flag: word, cluster: [] };
    return { flag: word.slice(0, equals), joined: word.slice(equals + 1), cluster: [] };
  }
  // One dash too few is no value of a short option.
  const long = equals < 0 ? word : word.slice(0, equals);
  if (word.length > 2 && find(`-${long}`) !== undefined) return { flag: long, cluster: [] };
  const cluster: string[] = [];
  for (let at = 1; at < word.length; at++) {
    const flag = `-${word[at]}`;
    const option = find(flag);
    const rest = word.slice(at + 1);
    if (option === undefined) return { flag: at === 1 ? word : `-${word.slice(at)}`, cluster };
    if (rest === '') return { flag, cluster };
    if (takesValue(option)) return { flag, joined: rest, cluster };
    cluster.push(flag);
  }
  return { flag: word, cluster };
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}
