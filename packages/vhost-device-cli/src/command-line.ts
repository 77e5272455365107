import { type Command, CommanderError } from 'commander';
import { checkCommandLine, tooManyArguments } from './check-command-line.ts';
import { completion, SHELLS } from './completions.ts';
import { CliError } from './errors.ts';
import { manPage } from './man-page.ts';

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
 * What `--print-man` and `--print-completion <shell>` print, alone on the command line. They are for whoever
 * packs a program, and so not among its options.
 *
 * @returns undefined when the command line does not ask for it
 * @throws {CliError} USAGE
 */
function documentOf(command: Command, argv: readonly string[]): string | undefined {
  const [flag = '', shell, ...more] = argv;
  if (flag === '--print-man' && shell === undefined) return manPage(command);
  if (flag !== '--print-completion' || more.length > 0) return undefined;
  const known = SHELLS.find((each) => each === shell);
  if (known !== undefined) return completion(command, known);
  throw new CliError('USAGE', `--print-completion expects one of ${SHELLS.join(', ')}`);
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
  const document = documentOf(command, argv);
  if (document !== undefined) return { print: document };
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
