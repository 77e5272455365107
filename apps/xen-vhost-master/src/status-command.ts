import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_OK, type Program } from '@node-vmm/vhost-device-cli';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { packageVersion, parseCommandLine } from '@node-vmm/vhost-device-cli/options';
import { Command } from 'commander';
import { usualControlPath } from './control-path.ts';
import { BridgeError } from './errors.ts';
import { type BridgeAnswer, statusTable } from './status-table.ts';

const INTERVAL_MS = 1000;
/** What JSON leaves as it is and a terminal obeys. */
const C1 = /[\u007f-\u009f]/g;

interface StatusOptions {
  readonly controlSocket?: string;
  readonly json?: boolean;
  readonly watch?: boolean;
}

export function createStatusCommand(): Command {
  return new Command('xen-vhost-master status')
    .description('Shows what a running bridge serves.')
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version')
    .option(
      '--control-socket <path>',
      'of the bridge, as it was given\n(default: control in its usual --state-dir)',
    )
    .option('--json', 'print one line of JSON instead of tables')
    .option('--watch', 'print again, each second, what has changed, until a signal comes');
}

/**
 * `xen-vhost-master status`.
 *
 * @param argv - without the word `status`
 * @returns the exit code
 * @throws {CliError} USAGE
 * @throws {BridgeError} USAGE where it has to be said which bridge is meant
 * @throws {ControlError} when no bridge answers
 */
export async function statusMain(argv: readonly string[], program: Program): Promise<number> {
  const parsed = parseCommandLine<StatusOptions>(createStatusCommand(), argv);
  if ('print' in parsed) return program.print(parsed.print);
  const { controlSocket, json = false, watch = false } = parsed.options;
  const path = controlSocket ?? usualControlPath();
  if (path === undefined || path === '') {
    throw new BridgeError('USAGE', 'Cannot find the bridge: say where by --control-socket');
  }
  using client = await ControlClient.connect(path);
  void program.signals.ended.then(() => client.close());
  try {
    return await show(client, json ? jsonLine : statusTable, watch, program);
  } catch (error) {
    if (program.signals.ending) return EXIT_OK;
    throw error;
  }
}

async function show(
  client: ControlClient,
  format: (answer: BridgeAnswer) => string,
  watch: boolean,
  program: Program,
): Promise<number> {
  let last: string | undefined;
  for (;;) {
    const text = format((await client.command(['status'])) as unknown as BridgeAnswer);
    if (text !== last) {
      const code = program.printOn(last === undefined || format === jsonLine ? text : `\n${text}`);
      if (code !== undefined) return code;
    }
    last = text;
    if (!watch) return EXIT_OK;
    await Promise.race([delay(INTERVAL_MS), program.signals.ended]);
    if (program.signals.ending) return EXIT_OK;
  }
}

function jsonLine(answer: BridgeAnswer): string {
  const escaped = (found: string): string =>
    `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `${JSON.stringify(answer).replace(C1, escaped)}\n`;
}
