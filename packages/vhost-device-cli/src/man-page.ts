import { EventEmitter } from 'node:events';
import type { Command } from 'commander';
import { describedOptions, oneLine } from './described-options.ts';

const ASCII_MAX = 0x7e;

/** What `EXIT_OK` and the others mean, in a sentence each. */
const EXIT_STATUS = [
  ['0', 'It did what was asked for: a signal asked for the end, or the text was printed.'],
  ['1', 'The host is not as the command line expects, or something failed later.'],
  ['2', 'The command line, or the configuration that it names, cannot be meant.'],
] as const;

/**
 * The manual page of a command, in man(7), from the table that `--help` is made of.
 *
 * @returns the page, of section 1
 */
export function manPage(command: Command): string {
  const name = command.name();
  const help = command.createHelp();
  const usage = help.commandUsage(command).slice(name.length).trim();
  const description = oneLine(command.description());
  return [
    `.TH ${roff(name.toUpperCase())} 1 "" "node\\-vmm"`,
    // Left as it is: options and their values are not to be torn apart.
    '.ad l',
    '.nh',
    '.SH NAME',
    `${roff(name)} \\- ${roff(description)}`,
    '.SH SYNOPSIS',
    `.B ${roff(name)}`,
    roff(usage),
    ...argumentLines(command),
    '.SH OPTIONS',
    ...optionLines(command),
    '.SH EXIT STATUS',
    ...EXIT_STATUS.flatMap(([status, meaning]) => ['.TP', status, roff(meaning)]),
    ...epilogue(command),
    '',
  ].join('\n');
}

function argumentLines(command: Command): string[] {
  const help = command.createHelp();
  const shown = help.visibleArguments(command);
  if (shown.length === 0) return [];
  const lines = shown.flatMap((argument) => [
    '.TP',
    `.I ${roff(help.argumentTerm(argument))}`,
    roff(oneLine(help.argumentDescription(argument))),
  ]);
  return ['.SH ARGUMENTS', ...lines];
}

function optionLines(command: Command): string[] {
  return describedOptions(command).flatMap(({ short, long, value, description }) => {
    const flags = [short, long].flatMap((flag) =>
      flag === undefined ? [] : [`\\fB${roff(flag)}\\fR`],
    );
    const shown =
      value === undefined
        ? ''
        : ` \\fI${roff(value.optional ? `[${value.name}]` : value.name)}\\fR`;
    return ['.TP', `${flags.join(', ')}${shown}`, roff(description)];
  });
}

/** What a command adds to its usage: a heading, and lines that stay as they are. */
function epilogue(command: Command): string[] {
  let text = '';
  const write = (part: string): void => {
    text += part;
  };
  // What `addHelpText` has taken Commander keeps as a listener; its types do not say so.
  if (command instanceof EventEmitter) command.emit('afterHelp', { error: false, command, write });
  const [heading = '', ...lines] = text.trim().split('\n');
  if (lines.length === 0) return [];
  return [
    `.SH ${roff(heading.replace(/:$/, '').toUpperCase())}`,
    '.nf',
    ...lines.map((line) => roff(line.trim())),
    '.fi',
  ];
}

/** Text as roff prints it. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replace(/^\./, '\\&.')
    .replaceAll(/./gu, (found) => {
      const code = found.codePointAt(0) ?? 0;
      return code > ASCII_MAX ? `\\[u${code.toString(16).toUpperCase().padStart(4, '0')}]` : found;
    });
}
