import type { Command } from 'commander';
import { isPathName, valueNameOf } from './given-options.ts';

/** What a shell can offer for a value. */
export type ValueKind = 'file' | 'directory' | 'user' | 'group' | 'choice' | 'other';

/** A value of an option, or an argument. */
export interface DescribedValue {
  readonly name: string;
  readonly kind: ValueKind;
  /** Of a `choice`. */
  readonly choices: readonly string[];
  /** It may be left out. */
  readonly optional: boolean;
}

/** An option as `--help` shows it: what manual pages and completions are made of. */
export interface DescribedOption {
  /** `-s` */
  readonly short?: string;
  /** `--socket-path` */
  readonly long?: string;
  /** In one line, with choices and default. */
  readonly description: string;
  /** Its first line. */
  readonly summary: string;
  readonly repeatable: boolean;
  readonly value?: DescribedValue;
}

const KINDS: Readonly<Record<string, ValueKind>> = {
  dir: 'directory',
  'name|uid': 'user',
  'name|gid': 'group',
};

/** The options of a command that users are to know of. */
export function describedOptions(command: Command): readonly DescribedOption[] {
  const help = command.createHelp();
  return help.visibleOptions(command).map((option) => {
    const name = valueNameOf(option);
    const { short, long, description } = option;
    return {
      ...(short === undefined ? {} : { short }),
      ...(long === undefined ? {} : { long }),
      description: oneLine(help.optionDescription(option)),
      summary: (description.split('\n')[0] ?? '').replace(/[:;,. ]+$/, ''),
      repeatable: /\brepeatable\b/.test(description),
      ...(name === undefined
        ? {}
        : { value: described(name, option.argChoices ?? [], option.optional) }),
    };
  });
}

/** The arguments of a command, in their order. */
export function describedArguments(command: Command): readonly DescribedValue[] {
  return command.registeredArguments.map((each) =>
    described(each.name(), each.argChoices ?? [], !each.required),
  );
}

export function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

function described(name: string, choices: readonly string[], optional: boolean): DescribedValue {
  const kind =
    choices.length > 0 ? 'choice' : (KINDS[name] ?? (isPathName(name) ? 'file' : 'other'));
  return { name, kind, choices, optional };
}
