import { type Command, CommanderError } from 'commander';
import { checkCommandLine, tooManyArguments } from './check-command-line.ts';
import { CliError } from './errors.ts';

/** What reading the command line came to: options, or text to print on standard output. */
export type ParsedCommand<T> = { readonly options: T } | { readonly print: string };

/**
 * What `--print-capabilities` prints, which is all that a command does that is told so.
 *
 * @returns undefined when the command line does not have it
 */
function capabilitiesOf(command: Command, argv: readonly string[]): string | undefined {
  if (!argv.includes('--print-capabilities')) return undefined;
  const option = command.options.find(({ long }) => long === '--print-capabilities');
  return typeof option?.presetArg === 'string' ? option.presetArg : undefined;
}

/**
 * Reads a command line.
 *
 * @param argv - without the interpreter and the script
 * @throws {CliError} USAGE
 */
export function parseCommandLine<T extends object>(
  command: Command,
  argv: readonly string[],
): ParsedCommand<T> {
  const capabilities = capabilitiesOf(command, argv);
  if (capabilities !== undefined) return { print: capabilities };
  let printed = '';
  command
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        printed += text;
      },
      writeErr: () => undefined,
    });
  checkCommandLine(command, argv);
  try {
    command.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { print: printed };
    const text =
      error.code === 'commander.excessArguments'
        ? tooManyArguments(command)
        : error.message.replace(/^error: /, '');
    throw new CliError('USAGE', text, {}, { cause: error });
  }
  return { options: command.opts<T>() };
}
