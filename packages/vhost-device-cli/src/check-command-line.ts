import { Command, CommanderError, Option } from 'commander';
import { CliError } from './errors.ts';
import {
  asksForHelp,
  type GivenOption,
  givenOptions,
  isCalled,
  isPathName,
  nameOf,
  valueNameOf,
} from './given-options.ts';

/** What Node makes of bytes that are no UTF-8. */
const REPLACEMENT = '\u{fffd}';
/** So much of an option is enough to say which are meant. */
const PREFIX_MIN = '--abc'.length;
const SHOWN_MAX = 5;

/**
 * Looks for what Commander would say too late, in other words or not at all: options that do not exist
 * before those that are missing, options that were taken for a value, paths that cannot be meant.
 *
 * @param argv - without the interpreter and the script
 * @throws {CliError} USAGE
 */
export function checkCommandLine(command: Command, argv: readonly string[]): void {
  const given = givenOptions(command, argv);
  if (given.some(({ flag, option }) => asksForHelp(flag) || isVersion(command, option))) return;
  for (const { flag, option } of given) {
    if (option === undefined) throw new CliError('USAGE', unknownOption(command, flag));
  }
  for (const each of given) checkValue(command, each);
  for (const word of argv) {
    if (word.includes(REPLACEMENT)) {
      throw new CliError('USAGE', `Cannot use the argument '${word}': it is not UTF-8`);
    }
  }
}

/** Says which arguments are too many. */
export function tooManyArguments(command: Command): string {
  const extra = command.args.slice(command.registeredArguments.length);
  const shown = extra.slice(0, SHOWN_MAX).map((word) => `'${word}'`);
  const more = extra.length > SHOWN_MAX ? ` and ${extra.length - SHOWN_MAX} more` : '';
  return `too many arguments: ${shown.join(', ')}${more}`;
}

function checkValue(command: Command, { flag, option, value, separate }: GivenOption): void {
  if (option === undefined || value === undefined) return;
  const known = command.options.some((each) => isCalled(each, value.split('=', 1)[0] ?? ''));
  if (separate === true && (known || value.startsWith('--'))) {
    throw new CliError(
      'USAGE',
      `option '${option.flags}' argument missing: '${value}' follows, which is an option; write ${nameOf(option)}=${value} if it is meant`,
    );
  }
  if (value.includes(REPLACEMENT)) {
    throw new CliError('USAGE', `Cannot use ${nameOf(option)} '${value}': it is not UTF-8`);
  }
  if (value === '' && isPathName(valueNameOf(option))) {
    throw new CliError(
      'USAGE',
      `Cannot use an empty ${flag.startsWith('--') ? flag : nameOf(option)}`,
    );
  }
}

function isVersion(command: Command, option: Option | undefined): boolean {
  return option !== undefined && command.version() !== undefined && isCalled(option, '--version');
}

/** Commander's words, with its guess at what was meant; or ours, where it has none. */
function unknownOption(command: Command, flag: string): string {
  if (!flag.startsWith('--') && command.options.some((option) => isCalled(option, `-${flag}`))) {
    return `unknown option '${flag}' (Did you mean -${flag}?)`;
  }
  const text = wordsOfCommander(command, flag);
  if (text.includes('Did you mean') || flag.length < PREFIX_MIN) return text;
  const meant = command.options
    .filter(({ hidden, long }) => !hidden && long?.startsWith(flag) === true)
    .map(nameOf);
  if (meant.length === 0) return text;
  return `${text} (Did you mean ${meant.length > 1 ? 'one of ' : ''}${meant.join(', ')}?)`;
}

function wordsOfCommander(command: Command, flag: string): string {
  const twin = new Command(command.name())
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  for (const { flags, hidden } of command.options) {
    twin.addOption(new Option(flags).hideHelp(hidden));
  }
  try {
    twin.parse([flag], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError)
      return error.message.replace(/^error: /, '').replaceAll('\n', ' ');
    throw error;
  }
  return `unknown option '${flag}'`;
}
