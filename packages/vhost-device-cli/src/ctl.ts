import { Command } from 'commander';
import { type ControlAnswer, ControlClient } from './control/client.ts';
import { ControlError } from './control/error.ts';
import { EXIT_FAILURE, EXIT_OK } from './exit-codes.ts';
import { packageVersion, parseCommandLine } from './options.ts';
import type { Program } from './program.ts';
import type { Main } from './run-program.ts';
import { jsonLine } from './terminal-json.ts';

const MANIFEST = new URL('../package.json', import.meta.url);

/** `vhost-device-ctl`: says one thing to a daemon's control socket, or watches. */
export const main: Main = async (argv, program) => {
  const command = new Command('vhost-device-ctl')
    .description('drives the devices of a vhost-user daemon through its control socket')
    .usage('[options] <socket> [@device] <words...>')
    .argument('<socket>', 'what the daemon was given as --control-socket')
    .argument('<words...>', '[@device] and a command: status, watch, or one that the device knows')
    .version(packageVersion(MANIFEST), '-V, --version')
    // A word may begin with a dash: a temperature below zero.
    .passThroughOptions();
  const parsed = parseCommandLine(command, argv);
  if ('print' in parsed) return program.print(parsed.print);
  const [socket = '', ...words] = command.args;
  if (socket === '') throw new ControlError('USAGE', 'Cannot use an empty <socket>');
  using client = await ControlClient.connect(socket);
  void program.signals.ended.then(() => client.close());
  try {
    return await ask(client, words, program);
  } catch (error) {
    if (program.signals.ending) return EXIT_OK;
    throw error;
  }
};

async function ask(
  client: ControlClient,
  words: readonly string[],
  program: Program,
): Promise<number> {
  const first = words[0] ?? '';
  const [device, rest] = first.startsWith('@')
    ? [first.slice(1), words.slice(1)]
    : [undefined, words];
  if (rest.length === 0)
    throw new ControlError('USAGE', `Cannot ask ${first}: there is no command`);
  if (rest[0] === 'watch' && rest.length === 1) return watch(client, device, program);
  return program.print(text(await client.command(rest, { device })));
}

async function watch(
  client: ControlClient,
  device: string | undefined,
  program: Program,
): Promise<number> {
  using watch = await client.watch({ device });
  for await (const event of watch) {
    const code = program.printOn(text(event));
    if (code !== undefined) return code;
  }
  if (program.signals.ending) return EXIT_OK;
  program.complain('Cannot watch on: the daemon ended the connection');
  return EXIT_FAILURE;
}

function text(answer: ControlAnswer): string {
  return Object.keys(answer).length === 0 ? '' : jsonLine(answer);
}
