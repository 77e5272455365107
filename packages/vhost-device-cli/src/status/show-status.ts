import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { parseCommandLine } from '../command-line.ts';
import { type ControlAnswer, ControlClient } from '../control/client.ts';
import { CliError } from '../errors.ts';
import { EXIT_OK } from '../exit-codes.ts';
import type { Program } from '../program.ts';
import { jsonLine } from '../terminal-json.ts';

const INTERVAL_MS = 1000;

interface StatusOptions {
  readonly controlSocket?: string;
  readonly json?: boolean;
  readonly watch?: boolean;
}

/** A program's `status` command. */
export interface StatusCommandSpec {
  /** As it is called: `xen-vhost-master status`. */
  readonly name: string;
  readonly description: string;
  readonly version: string;
  /** Where a running program is asked, unless that is told; for the help and as a path. */
  readonly usual?: { readonly text: string; path(): string | undefined };
  /** Shows an answer to people. */
  table(answer: ControlAnswer): string;
}

/** The command line of a `status` command. */
export function createStatusCommand({
  name,
  description,
  version,
  usual,
}: StatusCommandSpec): Command {
  const otherwise = usual === undefined ? '' : `\n(default: ${usual.text})`;
  return new Command(name)
    .description(description)
    .version(version, '-V, --version')
    .option('--control-socket <path>', `of the bridge, as it was given${otherwise}`)
    .option('--json', 'print one line of JSON instead of tables')
    .option('--watch', 'print again, each second, what has changed, until a signal comes');
}

/**
 * A program's `status` command: asks another process, and shows what that answers.
 *
 * @param argv - without the word `status`
 * @returns the exit code
 * @throws {CliError} USAGE, also where it has to be said who is meant
 * @throws {ControlError} when nobody answers
 */
export async function showStatus(
  argv: readonly string[],
  program: Program,
  spec: StatusCommandSpec,
): Promise<number> {
  const parsed = parseCommandLine<StatusOptions>(createStatusCommand(spec), argv);
  if ('print' in parsed) return program.print(parsed.print);
  const { controlSocket, json = false, watch = false } = parsed.options;
  const path = controlSocket ?? spec.usual?.path();
  if (path === undefined || path === '') {
    throw new CliError('USAGE', 'Cannot find the bridge: say where by --control-socket');
  }
  using client = await ControlClient.connect(path);
  void program.signals.ended.then(() => client.close());
  try {
    const format = json ? jsonLine : (answer: ControlAnswer): string => spec.table(answer);
    return await show(client, format, json, watch, program);
  } catch (error) {
    if (program.signals.ending) return EXIT_OK;
    throw error;
  }
}

async function show(
  client: ControlClient,
  format: (answer: ControlAnswer) => string,
  dense: boolean,
  watch: boolean,
  program: Program,
): Promise<number> {
  let last: string | undefined;
  for (;;) {
    const text = format(await client.command(['status']));
    if (text !== last) {
      const code = program.printOn(last === undefined || dense ? text : `\n${text}`);
      if (code !== undefined) return code;
    }
    last = text;
    if (!watch) return EXIT_OK;
    await Promise.race([delay(INTERVAL_MS), program.signals.ended]);
    if (program.signals.ending) return EXIT_OK;
  }
}
