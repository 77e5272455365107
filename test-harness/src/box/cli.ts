#!/usr/bin/env node
// `setup`, `status` and `run [scenario]`: see usage().
import { parseArgs } from 'node:util';
import { ARTEFACTS } from './artefacts/index.ts';
import { BoxError } from './errors.ts';
import { Progress } from './progress.ts';
import { SCENARIOS } from './scenarios/index.ts';
import { setupBox } from './setup.ts';
import { boxStatus } from './status.ts';

const EXIT_USAGE = 2;

function usage(): string {
  return [
    'Usage: npm run box:setup [-- --rebuild <artefact> ...]   prepare this machine (root)',
    '       npm run box -- <scenario> [arguments]            run a scenario',
    '',
    'Scenarios:',
    ...SCENARIOS.map(({ name, description }) => `  ${name.padEnd(12)} ${description}`),
    '',
    `Artefacts: ${ARTEFACTS.map(({ name }) => name).join(', ')}`,
  ].join('\n');
}

async function runScenario(name: string | undefined, args: readonly string[]): Promise<number> {
  if (name === undefined) {
    console.log(usage());
    return 0;
  }
  const scenario = SCENARIOS.find((candidate) => candidate.name === name);
  if (scenario === undefined) {
    console.error(`Cannot run "${name}": no such scenario\n\n${usage()}`);
    return EXIT_USAGE;
  }
  const progress = new Progress();
  await scenario.run({ args, say: (text) => progress.say(text) });
  return 0;
}

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'setup': {
      const { values } = parseArgs({
        args: rest,
        options: { rebuild: { type: 'string', multiple: true } },
      });
      await setupBox({ rebuild: values.rebuild ?? [] });
      return 0;
    }
    case 'status': {
      const { ready, reason } = boxStatus();
      console.log(ready ? 'ready' : `not ready: ${reason}`);
      return ready ? 0 : 1;
    }
    case 'run':
      return await runScenario(rest[0], rest.slice(1));
    default:
      console.error(usage());
      return EXIT_USAGE;
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

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  const isUsage = (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  if (BoxError.is(error)) console.error(error.message);
  else if (isUsage) console.error(`${(error as Error).message}\n\n${usage()}`);
  else console.error(error);
  process.exit(isUsage ? EXIT_USAGE : 1);
}
