import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** What shell commands may name. */
export interface Known {
  readonly root: string;
  /** Of the root's package.json. */
  readonly scripts: ReadonlySet<string>;
  readonly packages: ReadonlySet<string>;
  /** Command -> what it prints for `--help`. */
  help(command: string): string | undefined;
}

/** `sudo npm run x -- --y # why` -> words; a command for each of what `&`, `|` and `;` separate. */
function commandsOf(code: string): string[][] {
  return code
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, ''))
    .flatMap((line) => line.replace(/"[^"]*"|'[^']*'/g, 'quoted').split(/[&|;]+/))
    .map((command) => command.trim().split(/\s+/))
    .map((words) => words.filter((word) => word !== 'sudo' && !/^[A-Z_]+=/.test(word)))
    .filter(([program = '']) => program !== '');
}

function npmFaults([, verb = '', ...rest]: string[], { scripts, packages }: Known): string[] {
  if (verb === 'install') {
    return rest
      .filter((word) => word.startsWith('@node-vmm/') && !packages.has(word))
      .map((word) => `no package ${word}`);
  }
  const [script = ''] = verb === 'run' ? rest : [verb];
  return scripts.has(script) ? [] : [`no script ${script}`];
}

function optionFaults([program = '', ...words]: string[], known: Known): string[] {
  const help = known.help(program);
  if (help === undefined) return [];
  const options = words.flatMap((word) => /^--?[a-z][\w-]*/.exec(word) ?? []);
  return options
    .filter((option) => !new RegExp(`(^|[\\s,])${option}(?![\\w-])`, 'm').test(help))
    .map((option) => `${program} has no option ${option}`);
}

/** What is wrong with shell commands, as far as they are ours; they are not run. */
export function shellFaults(code: string, known: Known): string[] {
  const { status, stderr } = spawnSync('bash', ['-n'], { input: code, encoding: 'utf8' });
  const faults = status === 0 ? [] : [stderr.trim()];
  for (const command of commandsOf(code)) {
    const [program, first = ''] = command;
    if (program === 'npm') faults.push(...npmFaults(command, known));
    else if (program === 'node' && first.includes('/') && !existsSync(join(known.root, first))) {
      faults.push(`no file ${first}`);
    } else faults.push(...optionFaults(command, known));
  }
  return faults;
}
