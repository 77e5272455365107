#!/usr/bin/env node
// `packages`, `setup`, `status` and `run [scenario]`: see usage().
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { BoxError } from './errors.ts';
import { missingHostPackages, missingTestPackages } from './host-tools.ts';
import { Progress } from './progress.ts';
import { SCENARIOS } from './scenarios/index.ts';
import { allArtefacts, setupBox } from './setup.ts';
import { boxStatus, findBed } from './status.ts';

const EXIT_USAGE = 2;

function usage(): string {
  return [
    'Usage: npm run box:setup [-- --xen <path> [--tools <dir>]] [--rebuild <artefact> ...]',
    '                                                     prepare this machine',
    '       npm run box -- [--bed <name>] <scenario>   run a scenario',
    '',
    '  --xen <path>    hypervisor of your own (arm64): binary or source tree; becomes bed arm64-own',
    '  --tools <dir>   unpacked root with the Xen tools of its series, where Debian has none',
    '  --bed <name>    default: the newest that is there',
    '',
    'Beds:',
    ...boxStatus().beds.map(
      ({ bed, ready, reason }) => `  ${bed.name.padEnd(12)} ${ready ? 'ready' : reason}`,
    ),
    '',
    'Scenarios:',
    ...SCENARIOS.map(({ name, description }) => `  ${name.padEnd(12)} ${description}`),
    '',
    `Artefacts: ${allArtefacts()
      .map(({ name }) => name)
      .join(', ')}`,
  ].join('\n');
}

/** Options come before the scenario's name. */
function splitArguments(argv: readonly string[]): { bed?: string; rest: readonly string[] } {
  const [first = '', second] = argv;
  if (first.startsWith('--bed=')) return { bed: first.slice('--bed='.length), rest: argv.slice(1) };
  if (first !== '--bed') return { rest: argv };
  if (second === undefined) throw new BoxError('BAD_OPTION', 'Cannot use --bed: it needs a name');
  return { bed: second, rest: argv.slice(2) };
}

async function runScenario(argv: readonly string[]): Promise<number> {
  const { bed, rest } = splitArguments(argv);
  const [name, ...args] = rest;
  if (name === undefined || name === '--help' || name === '-h') {
    console.log(usage());
    return 0;
  }
  const scenario = SCENARIOS.find((candidate) => candidate.name === name);
  if (scenario === undefined) {
    throw new BoxError('BAD_OPTION', `Cannot run "${name}": no such scenario`);
  }
  if (args.length > 0) {
    throw new BoxError('BAD_OPTION', `Cannot run ${name} with "${args[0]}": it has no options`);
  }
  const progress = new Progress();
  const say = (text: string): void => progress.say(text);
  await scenario.run({ bed: findBed(bed, scenario.needs), say });
  return 0;
}

/** Paths are meant from where the user called npm. */
function fromCaller(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(process.env['INIT_CWD'] ?? '.', path);
}

const SETUP_OPTIONS = {
  rebuild: { type: 'string', multiple: true },
  xen: { type: 'string' },
  tools: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/**
 * Prints what `setup` with these arguments needs root for: Debian packages, one a line, with a `?` before
 * those that it can do without.
 */
function packages(args: string[]): number {
  const { values } = parseArgs({ args, options: SETUP_OPTIONS });
  if (values.help) return 0;
  for (const name of missingHostPackages()) console.log(name);
  for (const name of missingTestPackages()) console.log(`?${name}`);
  return 0;
}

async function setup(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: SETUP_OPTIONS });
  if (values.help) {
    console.log(usage());
    return 0;
  }
  const [xen, tools] = [fromCaller(values.xen), fromCaller(values.tools)];
  await setupBox({
    rebuild: values.rebuild ?? [],
    ...(xen === undefined ? {} : { xen }),
    ...(tools === undefined ? {} : { tools }),
  });
  return 0;
}

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'packages':
      return packages(rest);
    case 'setup':
      return await setup(rest);
    case 'status': {
      const { ready, beds } = boxStatus();
      for (const status of beds) {
        console.log(`${status.bed.name}: ${status.ready ? 'ready' : status.reason}`);
      }
      return ready ? 0 : 1;
    }
    case 'run':
      return await runScenario(rest);
    case '--help':
    case '-h':
      console.log(usage());
      return 0;
    default:
      throw new BoxError(
        'BAD_OPTION',
        command === undefined
          ? 'Cannot do anything: say run, setup or status'
          : `Cannot do "${command}": say run, setup or status`,
      );
  }
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  // The exit hook ends the machines and removes their scratch files.
  process.on(signal, () => process.exit(code));
}

// What console cannot write it forgets. A reader who has seen enough is content.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(0);
  console.error(`Cannot write to standard output: ${code}`);
  process.exit(1);
});
try {
  const status = await main(process.argv.slice(2));
  await setImmediate();
  process.exit(status);
} catch (error) {
  const isUsage =
    (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') ||
    BoxError.is(error, 'BAD_OPTION');
  const line = error instanceof Error ? error.message.replaceAll(/\s*\n\s*/g, ' ') : '';
  if (isUsage) console.error(`${line.replace(/[.\s]+$/, '')}; see \`npm run box -- --help\``);
  else if (BoxError.is(error)) console.error(error.message);
  else console.error(error);
  process.exit(isUsage ? EXIT_USAGE : 1);
}
