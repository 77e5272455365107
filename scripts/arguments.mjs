// Command lines of the scripts, read before anything is installed or built.
import { parseArgs } from 'node:util';

/**
 * Reads a command line. `--help` prints the usage and ends this process; what cannot be meant ends it
 * with 2 and one line.
 *
 * @param {string} name as the user calls it: `npm start`
 * @param {string} usage what `--help` prints, and how `--help` is reached from there
 * @param {import('node:util').ParseArgsConfig} config without `help`
 */
export function readArguments(name, usage, { options = {}, ...config } = {}) {
  try {
    const help = { type: 'boolean', short: 'h' };
    const parsed = parseArgs({ ...config, options: { ...options, help } });
    if (!parsed.values.help) return parsed;
  } catch (error) {
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    // What follows the first sentence explains `--`, which npm has eaten.
    misused(name, error.message.replace(/\. To specify .*/s, ''));
  }
  process.stdout.write(usage);
  process.exit(0);
}

/** Ends this process: the command line cannot be meant. */
export function misused(name, problem) {
  const help = name.startsWith('npm') ? `${name} -- --help` : `${name} --help`;
  console.error(`${name}: ${problem}; see ${help}`);
  process.exit(2);
}
