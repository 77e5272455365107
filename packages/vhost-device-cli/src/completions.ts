import type { Command } from 'commander';
import {
  type DescribedOption,
  type DescribedValue,
  describedArguments,
  describedOptions,
  type ValueKind,
} from './described-options.ts';

/** The shells that can complete our command lines. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** How each shell lists what a value can be. What is '' has nothing to offer. */
const BASH: Readonly<Record<Exclude<ValueKind, 'choice'>, string>> = {
  file: 'compgen -f',
  directory: 'compgen -d',
  user: 'compgen -u',
  group: 'compgen -g',
  other: '',
};
const ZSH: Readonly<Record<Exclude<ValueKind, 'choice'>, string>> = {
  file: '_files',
  directory: '_files -/',
  user: '_users',
  group: '_groups',
  other: ' ',
};
const FISH: Readonly<Record<Exclude<ValueKind, 'choice'>, string>> = {
  file: '-r -F',
  directory: "-x -a '(__fish_complete_directories)'",
  user: "-x -a '(__fish_complete_users)'",
  group: "-x -a '(__fish_complete_groups)'",
  other: '-x',
};

/**
 * What a shell reads to complete a command's options and their values, from the table that `--help` is
 * made of.
 */
export function completion(command: Command, shell: Shell): string {
  switch (shell) {
    case 'bash':
      return bash(command);
    case 'zsh':
      return zsh(command);
    case 'fish':
      return fish(command);
  }
}

function flagsOf({ short, long }: DescribedOption): string[] {
  return [short, long].filter((flag) => flag !== undefined);
}

function bash(command: Command): string {
  const name = command.name();
  const options = describedOptions(command);
  const cases = options.flatMap((option) => {
    const { value } = option;
    if (value === undefined || value.optional) return [];
    const found = bashValues(value);
    const list = found === '' ? '' : `mapfile -t COMPREPLY < <(${found} -- "$cur"); `;
    const files =
      value.kind === 'file' || value.kind === 'directory'
        ? 'compopt -o filenames 2>/dev/null; '
        : '';
    return [`    ${flagsOf(option).join('|')}) ${files}${list}return ;;`];
  });
  const [argument] = describedArguments(command);
  const words = options.flatMap(flagsOf).join(' ');
  const all = `mapfile -t COMPREPLY < <(compgen -W '${words}' -- "$cur")`;
  return `# bash completion for ${name}
_${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  # --option=value comes as three words.
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  case $prev in
${cases.join('\n')}
  esac
${argument === undefined ? `  ${all}` : `  if [[ $cur == -* ]]; then ${all}; return; fi\n  compopt -o filenames 2>/dev/null\n  mapfile -t COMPREPLY < <(${bashValues(argument)} -- "$cur")`}
}
complete -F _${name} ${name}
`;
}

function bashValues({ kind, choices }: DescribedValue): string {
  return kind === 'choice' ? `compgen -W '${choices.join(' ')}'` : BASH[kind];
}

function zsh(command: Command): string {
  const name = command.name();
  const options = describedOptions(command).flatMap((option) => {
    const flags = flagsOf(option);
    const others = option.repeatable ? '*' : `(${flags.join(' ')})`;
    return flags.map((flag) => {
      // The value is the next word, or follows at once.
      const join = option.value === undefined ? '' : flag.startsWith('--') ? '=' : '+';
      const text = option.summary.replaceAll(/[[\]:\\]/g, '\\$&');
      const value = option.value === undefined ? '' : zshValue(option.value);
      return `${others}${flag}${join}[${text}]${value}`;
    });
  });
  const places = describedArguments(command).map((value, i, all) =>
    i > 0 && i === all.length - 1 ? `*${zshValue(value)}` : `${i + 1}${zshValue(value)}`,
  );
  const specs = [...options, ...places].map((spec) => `    '${spec.replaceAll("'", "'\\''")}'`);
  return `#compdef ${name}
_${name}() {
  _arguments -s -S \\
${specs.join(' \\\n')}
}
if [[ $funcstack[1] == _${name} ]]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi
`;
}

function zshValue({ name, kind, choices, optional }: DescribedValue): string {
  const values = kind === 'choice' ? `(${choices.join(' ')})` : ZSH[kind];
  return `${optional ? '::' : ':'}${name.replaceAll(':', '\\:')}:${values}`;
}

function fish(command: Command): string {
  const name = command.name();
  const lines = describedOptions(command).map(({ short, long, summary, value }) =>
    [
      `complete -c ${name}`,
      ...(short === undefined ? [] : [`-s ${short.slice(1)}`]),
      ...(long === undefined ? [] : [`-l ${long.slice(2)}`]),
      ...(value === undefined || value.optional ? [] : [fishValue(value)]),
      `-d '${summary.replaceAll(/['\\]/g, '\\$&')}'`,
    ].join(' '),
  );
  // Files are offered where the command has arguments.
  const files = describedArguments(command).length === 0 ? [`complete -c ${name} -f`] : [];
  return `${[`# fish completion for ${name}`, ...files, ...lines].join('\n')}\n`;
}

function fishValue({ kind, choices }: DescribedValue): string {
  return kind === 'choice' ? `-x -a '${choices.join(' ')}'` : FISH[kind];
}
